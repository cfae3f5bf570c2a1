/* weir/weir.h - the whole C API of libweir. */
#ifndef WEIR_H
#define WEIR_H
#include <weir/batch.h>
#include <weir/bucket.h>
#include <weir/cache.h>
#include <weir/env.h>
#include <weir/error.h>
#include <weir/flight.h>
#include <weir/graph.h>
#include <weir/heap.h>
#include <weir/histogram.h>
#include <weir/inbox.h>
#include <weir/list.h>
#include <weir/loop.h>
#include <weir/pool.h>
#include <weir/queueing.h>
#include <weir/rate.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/semaphore.h>
#include <weir/simulator.h>
#include <weir/task.h>
#include <weir/timer.h>
#include <weir/version.h>
#include <weir/waiter.h>
#include <weir/window.h>
#endif
