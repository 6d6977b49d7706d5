package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Role is what somebody may do.
type Role string

const (
	Viewer   Role = "viewer"   // looks
	Operator Role = "operator" // makes, retries, cancels and deletes calls, too
)

// Credential lets somebody in: people by name and secret (Basic), machines by the secret alone (Bearer).
type Credential struct {
	Role   Role
	Name   string
	secret [sha256.Size]byte // equal lengths, whatever is compared
}

// shortestSecret keeps out what is guessed at a few hundred tries a second.
const shortestSecret = 12

// ParseCredentials reads credentials: "operator:NAME:SECRET" or "viewer:NAME:SECRET", apart by white space or on lines of
// their own; lines that begin with # are comments. The error names line and name, never a secret; that there is no
// credential at all is an error, too.
func ParseCredentials(text string) ([]Credential, error) {
	var all []Credential
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			c, err := parseCredential(word)
			if err == nil && slices.ContainsFunc(all, func(other Credential) bool { return other.secret == c.secret }) {
				err = fmt.Errorf("%s has the secret of another: give each their own", c.Name)
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no credentials: write lines of operator:NAME:SECRET or viewer:NAME:SECRET")
	}
	return all, nil
}

func parseCredential(word string) (Credential, error) {
	role, rest, _ := strings.Cut(word, ":")
	name, secret, found := strings.Cut(rest, ":")
	switch {
	case !found || name == "" || Role(role) != Viewer && Role(role) != Operator:
		return Credential{}, errors.New("not of the form operator:NAME:SECRET or viewer:NAME:SECRET")
	case len(secret) < shortestSecret:
		return Credential{}, fmt.Errorf("the secret of %s has %d characters, must have at least %d", name, len(secret), shortestSecret)
	}
	return Credential{Role(role), name, sha256.Sum256([]byte(secret))}, nil
}

// find returns whose credential the request shows. How long it takes tells nothing of any secret or name.
func find(all []Credential, r *http.Request) (Credential, bool) {
	name, secret, named := r.BasicAuth()
	if !named {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Credential{}, false
		}
		secret = strings.TrimSpace(token)
	}
	shown, shownName := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(name))
	at := -1
	for i, c := range all {
		ok := subtle.ConstantTimeCompare(c.secret[:], shown[:])
		if named {
			own := sha256.Sum256([]byte(c.Name))
			ok &= subtle.ConstantTimeCompare(own[:], shownName[:])
		}
		at = subtle.ConstantTimeSelect(ok, i, at)
	}
	if at < 0 {
		return Credential{}, false
	}
	return all[at], true
}
