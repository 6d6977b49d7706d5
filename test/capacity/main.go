// Command capacity writes what "refq bench --only capacity -o json" has printed, which it reads, as a table into a document:
//
//	go run ./test/withredis go run ./cmd/refq bench --only capacity -o json | go run ./test/capacity docs/operations.md
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/refq/refq/test/document"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "capacity: name the document")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Args[1], time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(rows io.Reader, file string, now time.Time) error {
	table, err := tabulate(rows, now)
	if err != nil {
		return err
	}
	return document.Fill(file, "capacity", table)
}

// row is a line of refq bench, as far as it counts here. A figure that the row has not is nil.
type row struct {
	Scenario string  `json:"scenario"`
	Case     string  `json:"case"`
	Redis    string  `json:"redis_version"`
	Payload  int     `json:"payload_bytes"`
	Held     *spread `json:"redis_bytes_per_call"`
	Conns    *spread `json:"connections"`
	CPU      *spread `json:"redis_cpu_us_per_call"`
	CPURate  *spread `json:"redis_cpu_us_per_second"`
	Rate     *spread `json:"commands_per_second"`
}

type spread struct {
	Median float64 `json:"median"`
}

func (s *spread) in(form string) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf(form, s.Median)
}

func tabulate(rows io.Reader, now time.Time) (string, error) {
	var table bytes.Buffer
	var about row
	for lines := json.NewDecoder(rows); ; {
		var r row
		switch err := lines.Decode(&r); {
		case errors.Is(err, io.EOF) && about.Scenario == "":
			return "", errors.New("there is no row of capacity")
		case errors.Is(err, io.EOF):
			return fmt.Sprintf("%s: %d processors shared with others, %s/%s, %s, Redis %s; arguments and results of %d bytes.\n\n"+
				"| each | Redis holds | Redis's CPU time | connections | commands |\n|---|---|---|---|---|\n", now.Format(time.DateOnly),
				runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), about.Redis, about.Payload) + table.String(), nil
		case err != nil:
			return "", err
		case r.Scenario == "capacity":
			about = r
			fmt.Fprintf(&table, "| %s | %s | %s%s | %s | %s |\n", r.Case, r.Held.in("%.0f bytes"), r.CPU.in("%.0f µs a call"), r.CPURate.in("%.0f µs/s"),
				r.Conns.in("%.1f"), r.Rate.in("%.1f/s"))
		}
	}
}
