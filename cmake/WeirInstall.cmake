# WeirInstall.cmake - what goes where, and how other programs find it (pkg-config, find_package).
#
# libweir is for programs without Lua; libweir-lua.a, where there is the binary, is all of weir for those with one.
# Modules go to lib/lua/5.4 and share/lua/5.4, where a Lua of the same prefix looks. The binary and the
# modules are installed where they are made, in bindings/CMakeLists.txt.
include(CMakePackageConfigHelpers)

install(TARGETS weir_static weir_shared EXPORT weir
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET weir_lua_static)
  set_target_properties(weir_lua_static PROPERTIES EXPORT_NAME lua)
  install(TARGETS weir_lua_static EXPORT weir ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY core/include/weir bindings/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN *.h)
install(DIRECTORY bindings/weir DESTINATION ${CMAKE_INSTALL_DATADIR}/lua/5.4 FILES_MATCHING PATTERN *.lua)
install(DIRECTORY types DESTINATION ${CMAKE_INSTALL_DATADIR}/weir FILES_MATCHING PATTERN *.lua)

set(host ${PROJECT_SOURCE_DIR}/bindings/host)
install(FILES ${host}/weir.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${host}/completion/weir.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME weir)
install(FILES ${host}/completion/_weir DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${host}/completion/weir.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

set_target_properties(weir_static PROPERTIES EXPORT_NAME static)
set_target_properties(weir_shared PROPERTIES EXPORT_NAME shared)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(EXPORT weir NAMESPACE weir:: DESTINATION ${package_folder} FILE weirTargets.cmake)
configure_package_config_file(cmake/weirConfig.cmake.in ${PROJECT_BINARY_DIR}/package/weirConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/weirConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/weirConfig.cmake ${PROJECT_BINARY_DIR}/package/weirConfigVersion.cmake
        DESTINATION ${package_folder})

# The prefix is where weir.pc lies, so that an installed tree can be moved and --prefix given late.
file(RELATIVE_PATH WEIR_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" WEIR_PC_PREFIX "${WEIR_PC_PREFIX}")
foreach(package weir weir-lua)
  configure_file(cmake/${package}.pc.in ${PROJECT_BINARY_DIR}/package/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# All that is installed, and no tests: what `make install` builds.
add_custom_target(weir_installed)
add_dependencies(weir_installed weir_programs weir_static weir_shared)
