package queue

// ForgetKeys takes a key from each form by which asynq's scripts are known, as if asynq sent one key more. It returns what puts
// them back. No other test may run meanwhile.
func ForgetKeys() (restore func()) {
	known := recognisers
	recognisers = nil
	for _, r := range known {
		r.keys = r.keys[:len(r.keys)-1]
		recognisers = append(recognisers, r)
	}
	return func() { recognisers = known }
}

// Recognise is what asynq does by a script with these keys and arguments; empty when that is not known.
func Recognise(queue string, keys []string, args []any) string {
	s, _ := recognise(queue, keys, args)
	return string(s.operation)
}

// Wake is how idle workers are woken.
var Wake = wake
