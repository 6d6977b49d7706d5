package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/refq/refq/internal/term"
)

// canAsk reports whether there is a person at a terminal.
func (a *app) canAsk() bool {
	return term.IsTerminal(a.stdin) && a.stderr.Terminal
}

// ask asks a person, who must say yes.
func (a *app) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(a.stderr, question+" [y/N] ")
	said := make(chan string, 1)
	go func() { // a terminal that nobody types on ends it with the program
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		said <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-said:
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return false, context.Cause(ctx)
	}
}
