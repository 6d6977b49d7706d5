// Package remedy knows what to do about an error of Redis, or on the way to it.
package remedy

import "strings"

// IsItRunning is the remedy when nobody answers at an address.
const IsItRunning = "is Redis running there? Name another with --redis"

// row is what to do about errors whose text has one of a few words.
type row struct {
	words  []string
	remedy string
}

// answers are what Redis says. The first row that fits counts.
var answers = []row{
	{[]string{"max number of clients"}, "raise maxclients, or close connections that nobody needs"},
	{[]string{"LOADING"}, "wait: it is loading its data"},
	{[]string{"MASTERDOWN"}, "wait: it is a replica that is not in step with its master"},
	{[]string{"CLUSTERDOWN"}, "wait: the Cluster looks for a master of some slots; CLUSTER INFO tells of how many"},
	{[]string{"without any password configured"}, "leave the password out: it wants none"},
	{[]string{"NOAUTH", "WRONGPASS", "NOPERM", "invalid password"},
		"check user and password; refq doctor --print-acl prints the rights that refq needs"},
	{[]string{"NOREPLICAS"}, "look at its replicas: there are fewer in step than min-replicas-to-write"},
	{[]string{"unknown command"}, "let refq use this command: it is renamed or off (rename-command, or by the provider)"},
	{[]string{"MOVED", "CROSSSLOT"}, "it is a Cluster: write redis-cluster://, or rediss-cluster:// with TLS"},
	{[]string{"cluster support disabled"}, "it is no Cluster: write redis://, or rediss:// with TLS"},
	{[]string{"READONLY"}, "use the master's address, or that of Sentinels that know it"},
	{[]string{"OOM"}, "raise maxmemory, or delete what is not needed"},
	{[]string{"MISCONF"}, "look into Redis's log, and at its disk's free space"},
}

// failures are errors of the network and of TLS.
var failures = []row{
	{[]string{"remote error: tls: certificate", "remote error: tls: bad cert", "remote error: tls: expired cert", "remote error: tls: revoked cert",
		"remote error: tls: unknown cert", "remote error: tls: unsupported cert", "remote error: tls: error decrypting"},
		"Redis does not trust this side: give tls_cert and tls_key a certificate that its CA has signed"},
	{[]string{"remote error: tls"}, "Redis refused the handshake: look into its log, and at its tls-protocols"},
	{[]string{"x509:"}, "this side does not trust Redis: name its CA by tls_ca, or whom its certificate is for by tls_server_name"},
	{[]string{"does not look like a TLS handshake", "no answer to the handshake"}, "it speaks no TLS at this port: write redis://, or redis-cluster://"},
	{[]string{"handshake", "tls:", "TLS with"}, "look at tls_ca, tls_cert and tls_key, and whether there is TLS at this port"},
	{[]string{"refused", "no route to host", "no such host", "unreachable", "host is down", "no such file", "i/o timeout"}, IsItRunning},
	{[]string{"EOF", "reset by peer", "broken pipe", "invalid reply", "can't parse"},
		"look into Redis's log; where it speaks TLS, write rediss:// or rediss-cluster://"},
}

// OfAnswer returns what to do about an answer of Redis, "" if that is not known.
func OfAnswer(text string) string { return find(answers, text) }

// OfFailure returns what to do about an error of the network or of TLS, "" if that is not known.
func OfFailure(text string) string { return find(failures, text) }

func find(rows []row, text string) string {
	for _, r := range rows {
		for _, word := range r.words {
			if strings.Contains(text, word) {
				return r.remedy
			}
		}
	}
	return ""
}
