package refq

import "github.com/redis/go-redis/v9"

// FailoverOptions shows what a redis-sentinel URL becomes: the client that Connect makes of it does not tell.
func FailoverOptions(url string) (*redis.FailoverOptions, error) {
	s, err := splitURL(url).settings()
	if err != nil {
		return nil, err
	}
	return s.failover(), nil
}

// PasswordFile returns what gives each new connection the password that a file holds.
func PasswordFile(path string) (current func() string, err error) {
	file, err := passwordFile(path)
	if err != nil {
		return nil, err
	}
	return file.current, nil
}
