// http.go - N requests at 50 in flight with net/http, GOMAXPROCS=1: CPU time (user + sys) of each.
package main

import (
	"fmt"
	"io"
	"net/http"
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

func main() {
	runtime.GOMAXPROCS(1)
	url, n, limit := os.Args[1], 10000, 50
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	if len(os.Args) > 3 {
		limit, _ = strconv.Atoi(os.Args[3])
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: limit, MaxConnsPerHost: limit, DisableCompression: true,
	}}
	get := func() int {
		answer, err := client.Get(url)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 {
			panic(fmt.Sprint("status ", answer.StatusCode, " ", err))
		}
		return len(body)
	}
	// `limit` workers that share a queue: the cheapest way to bound it in Go.
	run := func(n int) (bytes int) {
		jobs := make(chan struct{}, n)
		for i := 0; i < n; i++ {
			jobs <- struct{}{}
		}
		close(jobs)
		var all sync.WaitGroup
		for w := 0; w < limit; w++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for range jobs {
					bytes += get()
				}
			}()
		}
		all.Wait()
		return bytes
	}
	run(500)
	c, w := cpu(), time.Now()
	bytes := run(n)
	spent, wall := cpu()-c, time.Since(w).Nanoseconds()
	fmt.Printf("row name=http impl=go unit=ns value=%.1f n=%d wall=%.1f bytes=%.1f\n",
		float64(spent)/float64(n), n, float64(wall)/float64(n), float64(bytes)/float64(n))
}
