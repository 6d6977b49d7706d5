// Package config reads refq's configuration: flags before environment before config.yaml before defaults. It is the
// only package that knows YAML.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const defaultPath = "config.yaml"

// Options says where configuration comes from besides the file. The zero value reads ./config.yaml only.
type Options struct {
	// LookupEnv finds an environment variable, as os.LookupEnv does; an empty one counts as not set. Nil: no environment.
	LookupEnv func(name string) (value string, found bool)
	// Flags holds the flags given on the command line, by name without dashes ("redis", "log-level"). "config" names the
	// file; flags that stand for no global key are ignored.
	Flags map[string]string
}

// Config is the configuration in effect.
type Config struct {
	Path            string        // the file that was read, as it was named; empty: none
	Redis           string        // for refq.Connect, parameters in it; may hold a password, see [Config.Settings]
	Namespace       string        //
	Concurrency     int           // at least 1
	ShutdownTimeout time.Duration // negative: do not wait (0 in YAML)
	MaxArgs         int           // bytes
	MaxResult       int           // bytes
	LogLevel        slog.Level    //
	LogFormat       string        // "text" or "json"
	Metrics         string        // host:port where a worker serves its metrics and probes; empty: nowhere; port 0: a free one
	Redact          *redact.Rules // what nobody should read; nil: nothing
	Web             Web           //
	Functions       []Function    // sorted by name

	sources map[string]string // by key; absent: default
	rules   []string          // what Redact says
}

// Web is what refq web serves, and for whom.
type Web struct {
	Listen          string   // host:port; port 0 picks a free one
	Hosts           []string // names that requests may be for besides this machine's own
	CredentialsFile string   // absolute; empty: none
	ReadOnly        bool     // changes are refused
	QueuesWrite     bool     // asynqmon may change things, too
	MaxRequests     int      // at a time; at least 1
}

// Function is one entry under functions: in config.yaml.
type Function struct {
	// Func is the declaration with what the entry and defaults: say; fields that neither sets are zero. Its Policy method
	// returns no error.
	Func refcache.Func[json.RawMessage, json.RawMessage]
	// Args are the members that a call gets whose arguments lack them; Go callers do not look at them.
	Args json.RawMessage // an object; nil: none
	// Tags are the templates of the tags that Func makes; nil: calls do not look at invalidations.
	Tags []string
	// Exec is the program and its arguments; empty if Go workers serve the function, and the fields below are then too.
	Exec []string
	// Dir is the absolute folder to run in: the entry's dir, or the folder of config.yaml.
	Dir string
	// Env holds the variables that the command gets besides the few that every command gets.
	Env map[string]string
	// InheritEnv names variables of the worker that the command gets too.
	InheritEnv []string
	// PermanentExitCodes are the exit codes that forbid a retry: those of the entry, else 65.
	PermanentExitCodes []int
}

// CheckTagged reports whether calls of the function look at invalidations. The error says what to do.
func (f Function) CheckTagged() error {
	if f.Tags == nil {
		return fmt.Errorf("%s has no tags: give it tags: []", f.Func.Name)
	}
	return nil
}

// CheckTags reports whether a call with these arguments has tags that can be. The error shows the one that cannot.
func (f Function) CheckTags(args json.RawMessage) error {
	if f.Func.Tags == nil {
		return nil
	}
	if err := codec.CheckTags(f.Func.Tags(args)); err != nil {
		return fmt.Errorf("tags of %s: %w", f.Func.Name, err)
	}
	return nil
}

// Load returns the configuration in effect. The file is ./config.yaml, which may be absent, or the one that --config or
// REFQ_CONFIG names, which may not. An error is one sentence that says where the first mistake stands (file and line,
// variable or flag), what stands there and what should; it never shows a Redis URL.
func Load(o Options) (Config, error) {
	c := defaults()
	for _, read := range []func(*Config) error{o.readFile, o.readEnv, o.readFlags} {
		if err := read(&c); err != nil {
			return Config{}, err
		}
	}
	if err := c.checkRedis(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func defaults() Config {
	return Config{
		Redis:           "redis://127.0.0.1:6379/0",
		Namespace:       refcache.DefaultNamespace,
		Concurrency:     worker.DefaultConcurrency,
		ShutdownTimeout: worker.DefaultShutdownTimeout,
		MaxArgs:         producer.DefaultMaxArgs,
		MaxResult:       worker.DefaultMaxResult,
		LogLevel:        slog.LevelInfo,
		LogFormat:       "text",
		Web:             Web{Listen: "127.0.0.1:8383", MaxRequests: 256},
		sources:         map[string]string{},
	}
}

// Setting is one global key for people to read.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as it may stand in config.yaml, secrets masked
	Source string `json:"source"` // "default", "config.yaml:3", "REFQ_REDIS" or "--redis"
}

// Settings lists the global keys with their values and where those come from. Passwords are masked.
func (c Config) Settings() []Setting {
	list := make([]Setting, len(globalKeys))
	for i, k := range globalKeys {
		list[i] = Setting{Key: k.name, Value: k.show(c), Source: c.Source(k.name)}
	}
	return list
}

// Source says where the value of a global key comes from, in the form of [Setting].
func (c Config) Source(key string) string {
	if s, ok := c.sources[key]; ok {
		return s
	}
	return "default"
}

// Function returns the declared function of that name. The error lists the declared names and the nearest.
func (c Config) Function(name string) (Function, error) {
	known := make([]string, len(c.Functions))
	for i, f := range c.Functions {
		if f.Func.Name == name {
			return f, nil
		}
		known[i] = f.Func.Name
	}
	switch near := Nearest(name, known); {
	case c.Path == "":
		return Function{}, fmt.Errorf("unknown function %s: there is no config.yaml here to declare it (refq init writes one)", plain(name))
	case len(known) == 0:
		return Function{}, fmt.Errorf("unknown function %s: %s declares none", plain(name), c.Path)
	case near != "":
		return Function{}, fmt.Errorf("unknown function %s (did you mean %s?): %s declares %s", plain(name), near, c.Path, strings.Join(known, ", "))
	default:
		return Function{}, fmt.Errorf("unknown function %s: %s declares %s", plain(name), c.Path, strings.Join(known, ", "))
	}
}

func (o Options) env(name string) string {
	if o.LookupEnv == nil {
		return ""
	}
	value, _ := o.LookupEnv(name)
	return value
}

// path returns the file to read, and what named it: empty for the default file.
func (o Options) path() (path, namedBy string) {
	if flag, given := o.Flags["config"]; given {
		return flag, "--config"
	}
	if env := o.env("REFQ_CONFIG"); env != "" {
		return env, "REFQ_CONFIG"
	}
	return defaultPath, ""
}

func (o Options) readFile(c *Config) error {
	path, namedBy := o.path()
	text, err := readAtMost(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && namedBy == "":
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is %q, which does not exist: name another file or write one with refq init", namedBy, path)
	case err != nil:
		return fmt.Errorf("read configuration: %w", err)
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("find the folder of %s: %w", path, err)
	}
	c.Path = path
	if err := c.readYAML(path, folder, text); err != nil {
		return err
	}
	if file := c.Web.CredentialsFile; file != "" && !filepath.IsAbs(file) {
		c.Web.CredentialsFile = filepath.Join(folder, file)
	}
	return nil
}

// maxFile is far more than any configuration needs, in bytes.
const maxFile = 1 << 20

// readAtMost refuses a longer file without reading all of it, which may have no end.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes: is it the right file?", path, most)
	}
	return text, err
}

func (o Options) readEnv(c *Config) error {
	for _, k := range globalKeys {
		name := k.envName()
		if value := o.env(name); k.env && value != "" {
			if err := k.apply(c, name, value); err != nil {
				return err
			}
			c.sources[k.name] = name
		}
	}
	return nil
}

func (o Options) readFlags(c *Config) error {
	for _, k := range globalKeys {
		flag := k.flagName()
		if value, given := o.Flags[flag]; given {
			if err := k.apply(c, "--"+flag, value); err != nil {
				return err
			}
			c.sources[k.name] = "--" + flag
		}
	}
	return nil
}

// checkRedis makes a client, which does not dial, for the sake of its errors.
func (c Config) checkRedis() error {
	client, err := refq.Connect(c.Redis)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Source("redis"), err)
	}
	return client.Close()
}

// readYAML takes over what the text of the file says. Relative folders in it are meant from folder.
func (c *Config) readYAML(path, folder string, text []byte) error {
	root, err := parse(path, text)
	if err != nil {
		return err
	}
	top, err := root.children("")
	if err != nil {
		return err
	}
	r := functionReader{folder: folder, gates: map[string]refcache.Gate{}}
	for _, e := range top { // first, wherever they stand
		switch e.key {
		case "defaults":
			err = r.readDefaults(e)
		case "gates":
			err = r.readGates(e)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range top {
		switch {
		case e.key == "defaults", e.key == "gates":
		case e.key == "functions":
			c.Functions, err = r.readFunctions(e)
		case e.key == "web":
			err = c.readWeb(e)
		case e.key == "redis" && e.isMapping():
			err = c.readRedis(e, folder)
		default:
			err = c.readGlobal(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
