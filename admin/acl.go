package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
)

// roles are those that ACL knows.
var roles = map[string]store.Role{"all": store.Everybody, "producer": store.Producer, "worker": store.Worker, "operator": store.Operator}

func roleOf(name string) (store.Role, error) {
	who, known := roles[name]
	if !known {
		return 0, fmt.Errorf("there is no role %q: all, producer, worker or operator", name)
	}
	return who, nil
}

// ACL returns the command for Redis's administrator that gives a user the least rights with which it does what role says:
// "producer" makes calls; "worker" runs functions; "operator" is for refq web and all commands but refq worker, which make calls, too;
// "all" does all of that. The rights are for all queues, and replace those that the user has; its passwords stay, and one that is
// made by it has none yet. It needs no Redis. The error is that role is none of these, or that user is no name of one word.
func ACL(role, user string) (string, error) {
	who, err := roleOf(role)
	if err != nil {
		return "", err
	}
	if user == "" || strings.ContainsFunc(user, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%q is no name of a Redis user: it is one word", user)
	}
	const queues = "*" // all of them
	rights := store.Rights(who, slices.Concat(store.Needs(queues), queue.Needs(queues)))
	return fmt.Sprintf("ACL SETUSER %s on resetkeys resetchannels -@all %s", user, strings.Join(rights, " ")), nil
}
