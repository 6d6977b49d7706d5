package script

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// quote is what stands before the arguments of a command that Redis does not know, in its answer. The text of a script is
// one of them, and what users have given.
const quote = ", with args beginning with:"

// answer is what Redis said, without the quote.
type answer string

func (a answer) Error() string { return string(a) }

// RedisError makes it a redis.Error.
func (answer) RedisError() {}

// Discreet takes out of a command's error what Redis quotes of a script and its arguments, and returns the command.
func Discreet(cmd *redis.Cmd) *redis.Cmd {
	if err := WithoutQuote(cmd.Err()); err != nil {
		cmd.SetErr(err)
	}
	return cmd
}

// WithoutQuote returns the error of a script without what Redis quotes of it and its arguments.
func WithoutQuote(err error) error {
	if err == nil {
		return nil
	}
	if said, _, quoted := strings.Cut(err.Error(), quote); quoted {
		return answer(said)
	}
	return err
}
