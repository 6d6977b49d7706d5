package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// declaredFor is how long what a worker declares outlives its last renewal.
const declaredFor = 10 * time.Minute

// Declaring is a living worker of a queue, with the text of what it declares, empty if there is none.
type Declaring struct {
	Worker string
	Since  int64 // Unix ms of its own clock
	Text   string
}

// Declared tells what the living workers of a queue declare, in no order.
func (s *Store) Declared(ctx context.Context, queue string) ([]Declaring, error) {
	values, err := s.onQueue(ctx, declaredScript(), queue).Slice()
	if err != nil {
		return nil, fmt.Errorf("read what workers of queue %s declare: %w", queue, err)
	}
	answer := reply(values)
	texts := map[string]string{}
	pairs := answer.texts(1)
	for i := 0; i+1 < len(pairs); i += 2 {
		texts[pairs[i]] = pairs[i+1]
	}
	var found []Declaring
	workers := answer.texts(0)
	for i := 0; i+2 < len(workers); i += 3 {
		var about About
		_ = json.Unmarshal([]byte(workers[i+1]), &about) // else it is newer than this code, and started long ago as far as we know
		found = append(found, Declaring{workers[i], about.Since, texts[workers[i+2]]})
	}
	return found, nil
}
