package refq

import "github.com/redis/go-redis/v9"

// FailoverOptions shows what a redis-sentinel URL becomes: the client that Connect makes of it does not tell.
func FailoverOptions(url string) (*redis.FailoverOptions, error) {
	u := splitURL(url)
	params, err := u.params()
	if err != nil {
		return nil, err
	}
	if _, err := take(params, "pipeline"); err != nil {
		return nil, err
	}
	return failoverOptions(u, params)
}
