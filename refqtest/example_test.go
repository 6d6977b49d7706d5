package refqtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/refqtest"
	"github.com/refq/refq/worker"
)

// Thumb is declared where the program declares it.
var Thumb = refcache.Func[string, string]{Name: "thumb", Retry: refcache.RetryPolicy{MaxRetries: 3, Delay: time.Millisecond}}

// In a test, t is the test's own. In a testing/synctest bubble a delay of minutes passes at once.
func ExampleStart() {
	t := &exampleT{}
	defer t.end()

	attempts := 0
	p := refqtest.Start(t, func(w *worker.Worker) {
		worker.Handle(w, Thumb, func(_ context.Context, url string) (string, error) {
			if attempts++; attempts == 1 {
				return "", errors.New("service is down")
			}
			return "thumb of " + url, nil
		})
	})
	thumb, err := producer.Do(t.Context(), p, Thumb, "a.png")
	fmt.Println(thumb, err, attempts)
	// Output: thumb of a.png <nil> 2
}

// exampleT stands for the *testing.T that an example has not.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Output() io.Writer        { return io.Discard }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}
