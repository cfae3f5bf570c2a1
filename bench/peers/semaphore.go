// semaphore.go - the same rows with Go's standard library, GOMAXPROCS=1.
//
// x/sync/semaphore and x/time/rate are not in it. Nearest: a buffered channel for a counting
// semaphore, sync.Cond for a weighted one (no order is kept: every release wakes all), a mutex
// with container/heap for priorities, and a mutex around tokens and time.Now for a rate.
// Keys: a map with container/list for the order of use.
package main

import (
	"container/heap"
	"container/list"
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

func report(name string, size, operations int, f func()) {
	f()
	var list []float64
	for i := 0; i < 3; i++ {
		c, w := cpu(), time.Now()
		f()
		wall := float64(time.Since(w).Nanoseconds())
		spent := float64(cpu() - c)
		if wall < spent {
			spent = wall
		}
		list = append(list, spent/float64(operations))
	}
	sort.Float64s(list)
	fmt.Printf("row name=%s impl=go unit=ns value=%.1f n=%d\n", name, list[1], size)
}

// n goroutines that take and give until `operations` were done.
func loops(n, operations int, once func(i int)) {
	left := operations
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			defer all.Done()
			for left > 0 {
				left--
				once(left)
			}
		}()
	}
	all.Wait()
}

type weighted struct {
	mutex sync.Mutex
	more  *sync.Cond
	free  int
}

func (s *weighted) acquire(n int) {
	s.mutex.Lock()
	for s.free < n {
		s.more.Wait()
	}
	s.free -= n
	s.mutex.Unlock()
}

func (s *weighted) release(n int) {
	s.mutex.Lock()
	s.free += n
	s.mutex.Unlock()
	s.more.Broadcast()
}

type waiter struct {
	priority, arrival int
	ready             chan struct{}
}

type queue []*waiter

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].priority > q[j].priority || q[i].priority == q[j].priority && q[i].arrival < q[j].arrival
}
func (q queue) Swap(i, j int)       { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x interface{}) { *q = append(*q, x.(*waiter)) }
func (q *queue) Pop() interface{} {
	old := *q
	w := old[len(old)-1]
	*q = old[:len(old)-1]
	return w
}

type ranked struct {
	mutex         sync.Mutex
	free, arrived int
	waiting       queue
}

func (s *ranked) acquire(priority int) {
	s.mutex.Lock()
	if s.free > 0 {
		s.free--
		s.mutex.Unlock()
		return
	}
	s.arrived++
	w := &waiter{priority, s.arrived, make(chan struct{})}
	heap.Push(&s.waiting, w)
	s.mutex.Unlock()
	<-w.ready
}

func (s *ranked) release() {
	s.mutex.Lock()
	if len(s.waiting) > 0 {
		close(heap.Pop(&s.waiting).(*waiter).ready)
	} else {
		s.free++
	}
	s.mutex.Unlock()
}

type bucket struct {
	mutex               sync.Mutex
	rate, burst, tokens float64
	last                time.Time
}

func (b *bucket) allow() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	now := time.Now()
	b.tokens += now.Sub(b.last).Seconds() * b.rate
	if b.tokens > b.burst {
		b.tokens = b.burst
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func main() {
	runtime.GOMAXPROCS(1)
	n := 100000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	random := make([]int, 4096)
	for i, state := 0, 1; i < len(random); i++ {
		state = state * 48271 % 2147483647
		random[i] = state % 10
	}
	nothing := func() {}

	report("sem_with", n, n, func() {
		slots := make(chan struct{}, 1)
		for i := 0; i < n; i++ {
			slots <- struct{}{}
			nothing()
			<-slots
		}
	})
	for _, waiting := range []int{10, 1000, 100000} {
		operations := n
		if operations < 2*waiting {
			operations = 2 * waiting
		}
		report("handoff_waiting", waiting, operations, func() {
			slots := make(chan struct{}, 1)
			loops(waiting, operations, func(int) {
				slots <- struct{}{}
				runtime.Gosched() // the others queue
				<-slots
			})
		})
	}
	report("weighted", 1000, n/10, func() {
		s := &weighted{free: 100}
		s.more = sync.NewCond(&s.mutex)
		loops(1000, n/10, func(i int) {
			s.acquire(i%10 + 1)
			runtime.Gosched()
			s.release(i%10 + 1)
		})
	})
	for _, waiting := range []int{1000, 100000} {
		report("priority_waiting", waiting, 2*n, func() {
			s := &ranked{free: 1}
			loops(waiting, 2*n, func(i int) {
				s.acquire(random[i&4095])
				runtime.Gosched()
				s.release()
			})
		})
	}
	b := &bucket{rate: 1e9, burst: 1e12, tokens: 1e12, last: time.Now()}
	report("bucket_take", n, n, func() {
		for i := 0; i < n; i++ {
			b.allow()
		}
	})
	names := make([]string, n)
	kept, order := map[string]*list.Element{}, list.New()
	for i := range names {
		names[i] = "host-" + strconv.Itoa((i+1)*7919%n)
		kept[names[i]] = order.PushFront(i)
	}
	report("keyed_look_up", n, n, func() {
		for _, name := range names {
			order.MoveToFront(kept[name])
		}
	})
}
