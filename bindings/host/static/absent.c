/* host/static/absent.c - what the release binary leaves out of the closure of its libraries.
 *
 * Debian's libcurl, libpq and libmicrohttpd can do more than weir asks of them, and their archives
 * name the libraries for it: LDAP, RTMP, SSH, GnuTLS (a server's TLS), Kerberos, lists of public
 * suffixes (cookies). Some of those have no archive at all, and none is reached: weir.http speaks
 * http and https, keeps no cookies and serves no TLS. Their names end here instead:
 *   - what is called whatever weir does (start, end, version) does nothing and says that it worked;
 *   - what a user's settings can reach (Kerberos for SOCKS5 or PostgreSQL, LDAP in pg_service.conf)
 *     fails as the library would, and its caller goes on to the next way or gives its own error;
 *   - the rest is never called: if it is, the process says which it was and aborts.
 * A name that is missing here is an undefined symbol when the binary is linked.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* their headers need not be installed */

/* --- called in any case -------------------------------------------------------------------- */

int libssh2_init(int flags)
{
    (void)flags;
    return 0;
}

void libssh2_exit(void)
{
}

const char *libssh2_version(int required)
{
    (void)required;
    return "none";
}

int gnutls_global_init(void)
{
    return 0;
}

void gnutls_global_deinit(void)
{
}

/* --- can be asked for, and fails: GSS-API, LDAP's first step ---------------------------------- */

enum { GSS_FAILURE = 13 << 16 }; /* GSS_S_FAILURE, RFC 2744 */

struct gss_buffer {
    size_t length;
    void *value;
};

const void *const GSS_C_NT_HOSTBASED_SERVICE = NULL;

#define FAILS(name)                                                                                \
    uint32_t name(uint32_t *minor)                                                                 \
    {                                                                                              \
        *minor = 0;                                                                                \
        return GSS_FAILURE;                                                                        \
    }

FAILS(gss_acquire_cred)
FAILS(gss_delete_sec_context)
FAILS(gss_display_name)
FAILS(gss_import_name)
FAILS(gss_init_sec_context)
FAILS(gss_inquire_context)
FAILS(gss_release_cred)
FAILS(gss_release_name)
FAILS(gss_unwrap)
FAILS(gss_wrap)
FAILS(gss_wrap_size_limit)

/* The text of any status; curl asks until it is told. */
uint32_t gss_display_status(uint32_t *minor, uint32_t status, int type, const void *mechanism,
                            uint32_t *more, struct gss_buffer *text)
{
    static char said[] = "Kerberos is not in this build of weir";
    (void)status;
    (void)type;
    (void)mechanism;
    *minor = *more = 0;
    *text = (struct gss_buffer){sizeof said - 1, said};
    return 0;
}

uint32_t gss_release_buffer(uint32_t *minor, struct gss_buffer *text)
{
    *minor = 0;
    *text = (struct gss_buffer){0, NULL};
    return 0;
}

void *ldap_init(const char *host, int port)
{
    (void)host;
    (void)port;
    return NULL;
}

/* --- never called --------------------------------------------------------------------------- */

static _Noreturn void never(const char *name)
{
    static const char text[] = "weir: not in this build: ";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    n += write(STDERR_FILENO, name, strlen(name));
    n += write(STDERR_FILENO, "\n", 1);
    (void)n;
    abort();
}

#define NEVER(name)                                                                                \
    _Noreturn void name(void)                                                                      \
    {                                                                                              \
        never(#name);                                                                              \
    }

void *(*gnutls_malloc)(size_t size) = NULL; /* theirs is a variable too */

NEVER(RTMP_Alloc)
NEVER(RTMP_Close)
NEVER(RTMP_Connect1)
NEVER(RTMP_ConnectStream)
NEVER(RTMP_Free)
NEVER(RTMP_Init)
NEVER(RTMP_Read)
NEVER(RTMP_SetBufferMS)
NEVER(RTMP_SetupURL)
NEVER(RTMP_Write)

NEVER(ber_bvfree)
NEVER(ber_free)
NEVER(ber_memfree)
NEVER(ber_memvfree)
NEVER(ber_sockbuf_add_io)
NEVER(ldap_abandon_ext)
NEVER(ldap_count_entries)
NEVER(ldap_err2string)
NEVER(ldap_first_entry)
NEVER(ldap_free_urldesc)
NEVER(ldap_get_attribute_ber)
NEVER(ldap_get_dn_ber)
NEVER(ldap_get_option)
NEVER(ldap_get_values_len)
NEVER(ldap_init_fd)
NEVER(ldap_memfree)
NEVER(ldap_msgfree)
NEVER(ldap_msgtype)
NEVER(ldap_parse_result)
NEVER(ldap_parse_sasl_bind_result)
NEVER(ldap_pvt_url_scheme2proto)
NEVER(ldap_result)
NEVER(ldap_sasl_bind)
NEVER(ldap_search_ext)
NEVER(ldap_search_st)
NEVER(ldap_set_option)
NEVER(ldap_simple_bind)
NEVER(ldap_start_tls)
NEVER(ldap_unbind)
NEVER(ldap_unbind_ext)
NEVER(ldap_url_parse)
NEVER(ldap_value_free_len)

NEVER(libssh2_agent_connect)
NEVER(libssh2_agent_disconnect)
NEVER(libssh2_agent_free)
NEVER(libssh2_agent_get_identity)
NEVER(libssh2_agent_init)
NEVER(libssh2_agent_list_identities)
NEVER(libssh2_agent_userauth)
NEVER(libssh2_channel_free)
NEVER(libssh2_channel_read_ex)
NEVER(libssh2_channel_send_eof)
NEVER(libssh2_channel_wait_closed)
NEVER(libssh2_channel_wait_eof)
NEVER(libssh2_channel_write_ex)
NEVER(libssh2_hostkey_hash)
NEVER(libssh2_knownhost_add)
NEVER(libssh2_knownhost_checkp)
NEVER(libssh2_knownhost_del)
NEVER(libssh2_knownhost_free)
NEVER(libssh2_knownhost_get)
NEVER(libssh2_knownhost_init)
NEVER(libssh2_knownhost_readfile)
NEVER(libssh2_knownhost_writefile)
NEVER(libssh2_scp_recv2)
NEVER(libssh2_scp_send64)
NEVER(libssh2_session_abstract)
NEVER(libssh2_session_block_directions)
NEVER(libssh2_session_callback_set)
NEVER(libssh2_session_disconnect_ex)
NEVER(libssh2_session_flag)
NEVER(libssh2_session_free)
NEVER(libssh2_session_handshake)
NEVER(libssh2_session_hostkey)
NEVER(libssh2_session_init_ex)
NEVER(libssh2_session_last_errno)
NEVER(libssh2_session_last_error)
NEVER(libssh2_session_method_pref)
NEVER(libssh2_session_set_blocking)
NEVER(libssh2_sftp_close_handle)
NEVER(libssh2_sftp_init)
NEVER(libssh2_sftp_last_error)
NEVER(libssh2_sftp_mkdir_ex)
NEVER(libssh2_sftp_open_ex)
NEVER(libssh2_sftp_read)
NEVER(libssh2_sftp_readdir_ex)
NEVER(libssh2_sftp_rename_ex)
NEVER(libssh2_sftp_rmdir_ex)
NEVER(libssh2_sftp_seek64)
NEVER(libssh2_sftp_shutdown)
NEVER(libssh2_sftp_stat_ex)
NEVER(libssh2_sftp_statvfs)
NEVER(libssh2_sftp_symlink_ex)
NEVER(libssh2_sftp_unlink_ex)
NEVER(libssh2_sftp_write)
NEVER(libssh2_userauth_authenticated)
NEVER(libssh2_userauth_keyboard_interactive_ex)
NEVER(libssh2_userauth_list)
NEVER(libssh2_userauth_password_ex)
NEVER(libssh2_userauth_publickey_fromfile_ex)

NEVER(psl_builtin)
NEVER(psl_free)
NEVER(psl_get_version)
NEVER(psl_is_cookie_domain_acceptable)
NEVER(psl_latest)

NEVER(gnutls_alpn_set_protocols)
NEVER(gnutls_bye)
NEVER(gnutls_certificate_allocate_credentials)
NEVER(gnutls_certificate_free_credentials)
NEVER(gnutls_certificate_server_set_request)
NEVER(gnutls_certificate_set_dh_params)
NEVER(gnutls_certificate_set_retrieve_function2)
NEVER(gnutls_certificate_set_retrieve_function3)
NEVER(gnutls_certificate_set_x509_key_mem)
NEVER(gnutls_certificate_set_x509_key_mem2)
NEVER(gnutls_certificate_set_x509_trust_mem)
NEVER(gnutls_cipher_get)
NEVER(gnutls_credentials_set)
NEVER(gnutls_deinit)
NEVER(gnutls_dh_params_deinit)
NEVER(gnutls_dh_params_import_pkcs3)
NEVER(gnutls_dh_params_init)
NEVER(gnutls_handshake)
NEVER(gnutls_init)
NEVER(gnutls_priority_deinit)
NEVER(gnutls_priority_init)
NEVER(gnutls_priority_set)
NEVER(gnutls_protocol_get_version)
NEVER(gnutls_psk_allocate_server_credentials)
NEVER(gnutls_psk_free_server_credentials)
NEVER(gnutls_psk_set_server_credentials_function)
NEVER(gnutls_record_check_pending)
NEVER(gnutls_record_get_direction)
NEVER(gnutls_record_recv)
NEVER(gnutls_record_send)
NEVER(gnutls_session_get_ptr)
NEVER(gnutls_session_set_ptr)
NEVER(gnutls_strerror)
NEVER(gnutls_transport_set_int2)
