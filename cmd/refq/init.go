package main

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
)

// sampleCall calls the function of the sample that init writes.
const sampleFunction, sampleCall = "wordcount", `refq call wordcount '{"text":"to be or not to be"}'`

func newInit(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a commented config.yaml and a sample function here",
		Long: `Write a commented config.yaml and a sample function into the current folder.
Nothing is ever overwritten.`,
		Args: takes(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error { return a.init() },
	}
}

func (a *app) init() error {
	sample := config.Sample()
	files, err := fs.Glob(sample, "*")
	if err != nil {
		return err
	}
	for _, name := range files { // all of them before the first is written
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s exists here already, and init overwrites nothing: nothing was written", name)
		}
	}
	if err := os.CopyFS(".", sample); err != nil {
		return fmt.Errorf("write the sample: %w", err)
	}
	if a.asJSON {
		return a.printObject(map[string]any{"files": files})
	}
	p := term.Page{Screen: a.stdout}
	for _, name := range files {
		p.Line("wrote %s", name)
	}
	p.Line("\nNext:\n  refq dev\nand in another terminal:\n  %s", sampleCall)
	return p.Print()
}
