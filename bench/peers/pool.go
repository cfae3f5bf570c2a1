// pool.go - the pool of Go's database/sql at what weir.pool does, over a driver that does nothing.
//
// `pool_cycle`: DB.Conn and Conn.Close of an idle connection, GOMAXPROCS=1. The spike: 5 warm, then
// 50 requests at once which use a connection for 2 ms each; a new one takes 150 ms; at most 50. p50
// and p99 from a request to its end, and how many connections there are after it.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var dial time.Duration

type nothing struct{}

func (nothing) Open(string) (driver.Conn, error) {
	time.Sleep(dial)
	return nothing{}, nil
}
func (nothing) Prepare(string) (driver.Stmt, error) { return nil, errors.New("no statements here") }
func (nothing) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions here") }
func (nothing) Close() error                        { return nil }

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func open(max int) *sql.DB {
	db, err := sql.Open("nothing", "")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(max)
	db.SetMaxIdleConns(max)
	return db
}

func acquire(db *sql.DB) *sql.Conn {
	c, err := db.Conn(context.Background())
	if err != nil {
		panic(err)
	}
	return c
}

func cycle(n int) {
	db := open(10)
	var list []float64
	for i := 0; i < 4; i++ {
		start := cpu()
		for i := 0; i < n; i++ {
			acquire(db).Close()
		}
		if i > 0 {
			list = append(list, float64(cpu()-start)/float64(n))
		}
	}
	sort.Float64s(list)
	fmt.Printf("row name=pool_cycle impl=go unit=ns value=%.1f n=%d\n", list[1], n)
}

func spike() {
	db := open(50)
	var warm []*sql.Conn
	for i := 0; i < 5; i++ {
		warm = append(warm, acquire(db))
	}
	for _, c := range warm {
		c.Close()
	}
	dial = 150 * time.Millisecond
	took := make([]float64, 50)
	var all sync.WaitGroup
	all.Add(len(took))
	for i := range took {
		go func(i int) {
			defer all.Done()
			start := time.Now()
			c := acquire(db)
			time.Sleep(2 * time.Millisecond)
			c.Close()
			took[i] = float64(time.Since(start).Nanoseconds())
		}(i)
	}
	all.Wait()
	time.Sleep(300 * time.Millisecond) // dials that are still on their way
	sort.Float64s(took)
	fmt.Printf("row name=spike_p50 impl=go unit=ns value=%.1f n=50\n", took[25])
	fmt.Printf("row name=spike_p99 impl=go unit=ns value=%.1f n=50\n", took[49])
	fmt.Printf("row name=spike_size impl=go unit=count value=%d n=50\n", db.Stats().OpenConnections)
}

func main() {
	runtime.GOMAXPROCS(1)
	n := 100000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	sql.Register("nothing", nothing{})
	cycle(n)
	spike()
}
