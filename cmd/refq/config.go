package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/term"
)

func newConfig(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show the configuration in effect, and where each value is from",
		Long: `Show the configuration in effect, and where each value is from: a flag, an
environment variable, config.yaml or the defaults, in this order. Passwords are
masked. refq functions shows the policy of each function.`,
		Args: takes(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if err := a.load(); err != nil {
				return err
			}
			return a.showConfig()
		},
	}
}

func (a *app) showConfig() error {
	rows := term.Table{}
	rows.Header("KEY", "VALUE", "FROM")
	for _, s := range a.cfg.Settings() {
		if a.asJSON {
			if err := a.printObject(s); err != nil {
				return err
			}
			continue
		}
		colours := []string{"", term.Bold, ""}
		if s.Source == "default" {
			colours = []string{"", "", term.Faint}
		}
		rows.Add(colours, s.Key, term.Printable(s.Value), term.Printable(s.Source))
	}
	if a.asJSON {
		return nil
	}
	p := term.Page{Screen: a.stdout}
	rows.AddTo(&p)
	if err := p.Print(); err != nil {
		return err
	}
	a.notice("%s", a.readFrom())
	return nil
}

// readFrom says which file was read, and what else is in it.
func (a *app) readFrom() string {
	if a.cfg.Path == "" {
		return "there is no config.yaml here"
	}
	return fmt.Sprintf("%s declares %s", a.cfg.Path, term.Plural(len(a.cfg.Functions), "function", "functions"))
}
