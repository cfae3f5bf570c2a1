// parked.go - N goroutines asleep at once, GOMAXPROCS=1: memory of each, and CPU time for its whole life.
package main

import (
	"fmt"
	"os"
	"runtime"
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

func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, pages int64
	fmt.Sscan(string(text), &size, &pages)
	return pages * int64(os.Getpagesize())
}

func main() {
	runtime.GOMAXPROCS(1)
	n := 100000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	before, start := resident(), cpu()
	var all, parked sync.WaitGroup
	all.Add(n)
	parked.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			parked.Done()
			time.Sleep(time.Duration(50+n/400+i%100) * time.Millisecond)
			all.Done()
		}(i)
	}
	parked.Wait()
	bytes := float64(resident()-before) / float64(n)
	all.Wait()
	fmt.Printf("row name=parked_bytes impl=go unit=bytes value=%.1f n=%d\n", bytes, n)
	fmt.Printf("row name=parked_life impl=go unit=ns value=%.1f n=%d\n", float64(cpu()-start)/float64(n), n)
}
