/* weir/end.h - comes after the declarations of each header; see weir/begin.h. */
#ifdef WEIR_HIDDEN
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
