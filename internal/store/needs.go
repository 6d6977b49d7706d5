package store

import (
	"slices"
	"strings"
)

// Role is what a user of Redis is for. Roles are added by |.
type Role uint8

// Operators make calls, too: refq web does, and so does the command line.
const (
	Producer Role = 1 << iota
	Worker
	Operator
	Everybody = Producer | Worker | Operator
)

// Need is what somebody must be let do with some keys.
type Need struct {
	By       Role
	Keys     string   // their pattern
	Key      string   // the one to try it with
	Shared   bool     // the key is in use: it must not be touched
	Commands []string // with arguments that Redis takes; $ stands for the key. DEL is needed besides, unless the key is in use
}

// Needs are what this package does with the keys of a queue, and with the one key outside.
func Needs(queue string) []Need {
	keys, probe := prefix(queue)+"*", prefix(queue)+"t:probe"
	return []Need{
		{By: Everybody, Keys: queuesKey, Key: queuesKey, Shared: true, Commands: []string{"SADD $ x", "SMEMBERS $"}},
		{By: Everybody, Keys: keys, Key: probe, Commands: []string{
			"TIME", "EXISTS $", "GET $", "PERSIST $", "PEXPIRE $ 1000",
			"HDEL $ f", "HEXISTS $ f", "HGET $ f", "HINCRBY $ f 1", "HLEN $", "HMGET $ f", "HSET $ f x", "LPUSH $ x", "LREM $ 1 x",
			"SADD $ x", "SCARD $", "SINTER $", "SISMEMBER $ x", "SMEMBERS $", "SREM $ x",
			"ZADD $ 1 x", "ZCARD $", "ZRANGE $ 0 1", "ZRANGEBYSCORE $ 0 1", "ZRANK $ x", "ZREM $ x", "ZREMRANGEBYRANK $ 0 0", "ZSCORE $ x",
		}},
		{By: Worker | Operator, Keys: keys, Key: probe, Commands: []string{
			"SET $ x", "HGETALL $", "HKEYS $", "LLEN $", "LRANGE $ 0 1", "SRANDMEMBER $", "ZCOUNT $ 0 1", "ZREVRANGE $ 0 1",
		}},
		{By: Worker, Keys: keys, Key: probe, Commands: []string{"LSET $ 0 x", "LTRIM $ 0 1", "SMISMEMBER $ x"}},
		{By: Producer | Operator, Keys: keys, Key: probe, Commands: []string{"ZMSCORE $ x"}},
		{By: Operator, Keys: keys, Key: probe, Commands: []string{"LINDEX $ 0", "LPOS $ x"}},
	}
}

// Channels are the patterns of those on which refq sends and hears messages, which all roles do.
func Channels() []string {
	return []string{WakeChannel("*", "*"), CancelChannel("*", "*"), InboxChannel("*", "*"), DropsChannel("*")}
}

// United puts together the needs of the same keys, which come from several packages and of several roles: each command once.
func United(needs []Need) (united []Need) {
	places := map[string]int{}
	for _, n := range needs {
		place, known := places[n.Keys]
		if !known {
			places[n.Keys] = len(united)
			n.Commands = slices.Clone(n.Commands)
			united = append(united, n)
			continue
		}
		united[place].By |= n.By
		for _, command := range n.Commands {
			if !slices.Contains(united[place].Commands, command) {
				united[place].Commands = append(united[place].Commands, command)
			}
		}
	}
	return united
}

// connecting are the commands without keys: how a client makes itself known and finds its way, how scripts are run and messages go,
// and what the doctor and metrics ask. CONFIG is not among them, as it tells passwords,
// nor is CLIENT SETINFO, which Redis has since 7.2: without it a client is nameless, and no more. A category stands for what
// messages need: Redis before 7 does not know the sharded ones, and takes no line that names them.
var connecting = strings.Fields(`ping hello select client|setname asking command cluster|slots cluster|nodes cluster|info
	acl|whoami info eval evalsha @pubsub`)

// Rights are a Redis user's in these roles, as ACL SETUSER takes them: for the keys of needs, which are those of all queues. It is
// what they need, and no more.
func Rights(roles Role, needs []Need) []string {
	var keys, commands []string
	for _, n := range needs {
		if n.By&roles == 0 {
			continue
		}
		keys = append(keys, "~"+n.Keys)
		if !n.Shared {
			commands = append(commands, "+del")
		}
		for _, c := range n.Commands {
			name, _, _ := strings.Cut(c, " ")
			commands = append(commands, "+"+strings.ToLower(name))
		}
	}
	slices.Sort(keys)
	slices.Sort(commands)
	var channels, session []string
	for _, c := range Channels() {
		channels = append(channels, "&"+c)
	}
	for _, c := range connecting {
		session = append(session, "+"+c)
	}
	return slices.Concat(slices.Compact(keys), channels, session, slices.Compact(commands))
}
