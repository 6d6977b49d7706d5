package access

import (
	"fmt"
	"net"
	"slices"
)

// CheckListen refuses to open an address of others' reach to everybody: without credentials, only this machine's own are
// allowed. The error says what to do.
func CheckListen(addr string, credentials []Credential) error {
	host := hostOf(addr)
	ip := net.ParseIP(host)
	if len(credentials) > 0 || slices.Contains(Loopback, host) || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s can be reached from other machines, and there are no credentials: "+
		"name a web.credentials_file, listen on 127.0.0.1, or start refq web with --insecure-no-auth", addr)
}
