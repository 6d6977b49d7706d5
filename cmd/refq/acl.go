package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
)

// aclOptions are the flags of refq doctor that are about the rights of a user of Redis.
type aclOptions struct {
	print     bool
	who, user string
}

func (o *aclOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&o.print, "print-acl", false, "print the ACL SETUSER command with the rights that refq needs")
	flags.StringVar(&o.who, "for", "", "what the user is to do: all, worker, producer, operator")
	flags.StringVar(&o.user, "user", "refq", "the user of Redis that --print-acl names")
}

func (a *app) printACL(o aclOptions) error {
	line, err := admin.ACL(cmp.Or(o.who, "all"), o.user)
	if err != nil {
		return usagef("%v", err)
	}
	if a.asJSON {
		return a.printObject(struct {
			ACL string `json:"acl"`
		}{line})
	}
	_, err = fmt.Fprintln(a.stdout, line)
	return err
}
