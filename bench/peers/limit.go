// limit.go - 100,000 jobs under a Go semaphore of 100, GOMAXPROCS=1.
//
// The semaphore is the buffered channel of the Go FAQ and of "Effective Go": the x/sync module
// is not part of the standard library. `limit_map` takes a slot before it starts a goroutine
// (as errgroup.SetLimit does); `spawn_with` starts all goroutines, each takes a slot.
// A figure is the smaller of CPU time (user + sys) and elapsed time for one job.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func measure(name string, n int, f func()) {
	f()
	var list []float64
	for i := 0; i < 5; i++ {
		c, w := cpu(), time.Now()
		f()
		wall := float64(time.Since(w).Nanoseconds())
		spent := float64(cpu() - c)
		if wall < spent {
			spent = wall
		}
		list = append(list, spent/float64(n))
	}
	sort.Float64s(list)
	fmt.Printf("row name=%s impl=go unit=ns value=%.1f n=%d\n", name, list[len(list)/2], n)
}

func slotFirst(n int, job func(int) int) func() {
	return func() {
		slots := make(chan struct{}, 100)
		results := make([]int, n)
		var all sync.WaitGroup
		for i := 0; i < n; i++ {
			slots <- struct{}{}
			all.Add(1)
			go func(i int) {
				defer all.Done()
				defer func() { <-slots }()
				results[i] = job(i + 1)
			}(i)
		}
		all.Wait()
		check(results, n)
	}
}

func startFirst(n int, job func(int) int) func() {
	return func() {
		slots := make(chan struct{}, 100)
		results := make([]int, n)
		var all sync.WaitGroup
		all.Add(n)
		for i := 0; i < n; i++ {
			go func(i int) {
				defer all.Done()
				slots <- struct{}{}
				defer func() { <-slots }()
				results[i] = job(i + 1)
			}(i)
		}
		all.Wait()
		check(results, n)
	}
}

func check(results []int, n int) {
	if results[n-1] != n+1 {
		panic("a job is missing")
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	n := 100000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	immediate := func(x int) int { return x + 1 }
	waiting := func(x int) int { runtime.Gosched(); return x + 1 }
	measure("limit_map", n, slotFirst(n, immediate))
	measure("limit_map_wait", n, slotFirst(n, waiting))
	measure("spawn_with", n, startFirst(n, immediate))
	measure("spawn_with_wait", n, startFirst(n, waiting))
}
