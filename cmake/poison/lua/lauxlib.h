/* lauxlib.h - found first by all of the core, so that nothing there can use Lua. */
#error "the core knows nothing of Lua"
