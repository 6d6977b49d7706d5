package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// A process of this name is not the test but a program for scripts.
const terminalName = "terminal"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == terminalName {
		terminal()
		return
	}
	testkit.Main(m)
}

// TestScripts runs refq as people and scripts do. Each script has a Redis of its own, in REFQ_REDIS.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"ref":    findRef,
			"normal": normalise,
			"damage": damage,
			"redis":  tellRedis,
			"slow":   slowDown,
			"up":     waitForWeb,
			"http":   ask,
		},
	})
}

// scriptUnits is how many processes a script runs at a time: a worker or a server, a call, a command and a shell.
const scriptUnits = 4

func setUpScript(env *testscript.Env) error {
	tb := env.T().(testing.TB)
	testkit.Reserve(tb, scriptUnits)
	bin := filepath.Dir(testkit.Program(tb))
	test, err := os.Executable()
	if err != nil {
		return err
	}
	programs := tb.TempDir()
	if err := os.Symlink(test, filepath.Join(programs, terminalName)); err != nil {
		return err
	}
	env.Setenv("PATH", strings.Join([]string{bin, programs, env.Getenv("PATH")}, string(os.PathListSeparator)))
	server, err := memredis.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Defer(server.Close)
	env.Values["server"] = server
	nobody, err := freeAddr()
	if err != nil {
		return err
	}
	web, err := freeAddr()
	if err != nil {
		return err
	}
	env.Setenv("WEB", web)
	_, port, _ := net.SplitHostPort(web)
	env.Setenv("PORT", port)
	env.Setenv("REFQ_WEB_LISTEN", web)
	env.Setenv("ADDR", server.Addr())
	env.Values[serverKey{}] = server.Addr()
	env.Setenv("REFQ_REDIS", "redis://"+server.Addr()+"/0")
	env.Setenv("NOBODY", nobody)
	env.Setenv("TZ", "UTC")
	env.Setenv("TERM", "xterm")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else each process sleeps for a second under the race detector
	return nil
}

// freeAddr is where nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// exits runs a command that must end with an exit code: exits CODE PROGRAM [ARGS...].
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	switch err := ts.Exec(args[1], args[2:]...).(type) {
	case nil:
	case *exec.ExitError:
		got = err.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// serverKey is what scripts' environments know their Redis by.
type serverKey struct{}

// damage changes a record behind refq's back: damage REF [FIELD [TEXT]] writes a text to a field, deletes the field, or
// puts something else in place of the record.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	rdb := redis.NewClient(testkit.Options(ts.Value(serverKey{}).(string)))
	defer rdb.Close()
	ref, ctx := refcache.Ref(args[0]), context.Background()
	key := "refq:{" + ref.Queue() + "}:t:" + ref.Hash()
	switch len(args) {
	case 1:
		ts.Check(rdb.Set(ctx, key, "no hash", 0).Err())
	case 2:
		ts.Check(storetest.Remove(ctx, rdb, key, args[1]))
	default:
		ts.Check(storetest.Set(ctx, rdb, key, args[1], args[2]))
	}
}

var refForm = regexp.MustCompile(`[A-Za-z0-9._-]+:[0-9a-f]{32}`)

// findRef sets variables to the first ref_ids on stdout: ref NAME...
func findRef(ts *testscript.TestScript, _ bool, names []string) {
	refs := refForm.FindAllString(ts.ReadFile("stdout"), len(names))
	if len(refs) < len(names) {
		ts.Fatalf("stdout has %d ref_ids, want %d", len(refs), len(names))
	}
	for i, name := range names {
		ts.Setenv(name, refs[i])
	}
}

// tellRedis sends a command to the script's Redis: redis COMMAND [ARGS...]. A ref_id stands for the key of its record.
func tellRedis(ts *testscript.TestScript, _ bool, args []string) {
	rdb := redis.NewClient(testkit.Options(ts.Getenv("ADDR")))
	defer rdb.Close()
	words := make([]any, len(args))
	for i, arg := range args {
		words[i] = arg
		if ref, err := refcache.ParseRef(arg); err == nil {
			words[i] = "refq:{" + ref.Queue() + "}:t:" + ref.Hash()
		}
	}
	ts.Check(rdb.Do(context.Background(), words...).Err())
}

// slowDown makes the script's Redis take its time: slow DURATION. 0 ends it.
func slowDown(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Value("server").(*memredis.Server).SetFaults(func(cmd []string) memredis.Fault {
		if strings.HasPrefix(cmd[0], "EVAL") {
			time.Sleep(d)
		}
		return memredis.Pass
	})
}

// variable is what differs between runs, with the word that stands for it in golden files.
var variable = []struct {
	form *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`), `"TIME"`},
	{regexp.MustCompile(`"age_seconds":[\d.e-]+`), `"age_seconds":N`},
	{regexp.MustCompile(`(  age         )[\d.]+m?s`), `${1}D`},
	{regexp.MustCompile(`"duration_seconds":[\d.e-]+`), `"duration_seconds":N`},
	{regexp.MustCompile(`"worker":"[^"]+-\d+-[a-z0-9]{6}"`), `"worker":"WORKER"`},
	{regexp.MustCompile(`"by":"[^"]+@[^"]+"`), `"by":"USER@HOST"`},
	{regexp.MustCompile(`after [\d.]+m?s on \S+-\d+-[a-z0-9]{6}`), `after D on WORKER`},
	{regexp.MustCompile(`by \S+@\S+`), `by USER@HOST`},
	{regexp.MustCompile(`took [\d.]+m?s`), `took D`},
	{regexp.MustCompile(`in \d+d|in \d+h\d+m`), `in D`},
	{regexp.MustCompile(`just now|([\d.]+[hms])+ ago`), `AGO`},
	{regexp.MustCompile(`"message":"no living worker serves queue [^"]+","unserved":"queue"`), `"message":"waits for a worker","unserved":null`},
	{regexp.MustCompile(`(?m) +no living worker serves queue \S+$`), ``}, // said of a call that has waited for a second
	{regexp.MustCompile(`(WHEN|AGO) +`), `$1  `},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), `DAY`},
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`), `HH:MM:SS.mmm`},
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), `HH:MM:SS`},
	{regexp.MustCompile(`[\d.]+[mµ]?s( a trip)`), `TRIP$1`},
	{regexp.MustCompile(`this host's clock .*`), `CLOCK`},
	{regexp.MustCompile(`[ ]+\n`), "\n"},
}

// normalise writes stdout to the file "normal", with words for what differs between runs.
func normalise(ts *testscript.TestScript, _ bool, _ []string) {
	text := ts.ReadFile("stdout")
	for _, v := range variable {
		text = v.form.ReplaceAllString(text, v.word)
	}
	ts.Check(os.WriteFile(ts.MkAbs("normal"), []byte(text), 0o600))
}
