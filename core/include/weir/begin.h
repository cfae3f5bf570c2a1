/* weir/begin.h - comes before the declarations of each header, weir/end.h after them.
 *
 * To C++ they are C's. WEIR_HIDDEN is for a shared object that has weir inside and no list of
 * symbols for the linker, as the rock is made: nothing of weir is to be seen from outside then. The
 * headers of others are included before, so that theirs are not hidden. No guard: each header has
 * its own pair.
 */
#ifdef __cplusplus
extern "C" {
#endif
#ifdef WEIR_HIDDEN
#pragma GCC visibility push(hidden)
#endif
