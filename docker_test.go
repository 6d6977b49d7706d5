package refq_test

import (
	"encoding/json"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// There may be no Docker engine where the tests run: these read what it would be given.

// composed is docker-compose.yml.
type composed struct {
	Services map[string]struct {
		Build       string
		Image       string
		Profiles    []string
		Command     []string
		Init        bool
		Environment map[string]string
		Volumes     []string
		MemLimit    string `yaml:"mem_limit"`
		Ports       []string
		Healthcheck struct {
			Test              []string
			Interval, Timeout string
			Retries           int
		}
		DependsOn any    `yaml:"depends_on"` // names, or names with conditions
		StopGrace string `yaml:"stop_grace_period"`
		Restart   string
		Name      string `yaml:"container_name"`
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) (compose composed) {
	text, err := os.ReadFile("docker-compose.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(text, &compose, yaml.Strict()))
	return compose
}

func TestComposeFileGivesWorkersTheRedisTheyNeed(t *testing.T) {
	compose := readCompose(t)
	redis, wrk := compose.Services["redis"], compose.Services["worker"]
	require.Contains(t, strings.Join(redis.Command, " "), "--appendonly yes --appendfsync everysec --maxmemory-policy noeviction")
	require.Less(t, bytesOf(t, after(t, redis.Command, "--maxmemory")), bytesOf(t, redis.MemLimit)*3/4, "it needs more while it rewrites its file")
	require.NotEmpty(t, redis.Healthcheck.Test)
	require.Contains(t, compose.Volumes, strings.Split(redis.Volumes[0], ":")[0])

	require.Equal(t, ".", wrk.Build)
	require.Equal(t, []string{"worker"}, wrk.Command)
	require.Equal(t, "redis://redis:6379/0", wrk.Environment["REFQ_REDIS"])
	require.Contains(t, wrk.Healthcheck.Test, "http://127.0.0.1"+wrk.Environment["REFQ_METRICS"]+"/readyz")
	require.Equal(t, map[string]any{"redis": map[string]any{"condition": "service_healthy"}}, wrk.DependsOn)
	require.True(t, wrk.Init)
	require.Empty(t, wrk.Name, "a named container cannot be scaled")
	grace, err := time.ParseDuration(wrk.StopGrace)
	require.NoError(t, err)
	require.Greater(t, grace, 8*time.Second, "the default shutdown_timeout")
	require.DirExists(t, strings.TrimSuffix(strings.TrimPrefix(wrk.Volumes[0], "${REFQ_APP:-"), "}:/app:ro"))
}

// after is the word that follows another.
func after(t *testing.T, words []string, word string) string {
	i := slices.Index(words, word)
	require.True(t, i >= 0 && i+1 < len(words), "%q has no %s", words, word)
	return words[i+1]
}

// bytesOf reads 512mb, 1g or the default of ${NAME:-1g}.
func bytesOf(t *testing.T, text string) (n int) {
	if _, otherwise, is := strings.Cut(text, ":-"); is {
		text = strings.TrimSuffix(otherwise, "}")
	}
	number := strings.TrimRight(text, "bgkm")
	n, err := strconv.Atoi(number)
	require.NoError(t, err, text)
	shift, known := map[string]int{"m": 20, "g": 30}[strings.TrimSuffix(text[len(number):], "b")]
	require.True(t, known, text)
	return n << shift
}

// What runs wild must not bring down the machine, and with it Redis.
func TestComposeFileLimitsMemory(t *testing.T) {
	for name, service := range readCompose(t).Services {
		if service.Profiles == nil {
			require.Positive(t, bytesOf(t, service.MemLimit), name)
		}
	}
}

// A password that stands in a file which everybody has is none.
func TestComposeFileHasNoDefaultPassword(t *testing.T) {
	for name, service := range readCompose(t).Services {
		for variable, value := range service.Environment {
			if strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "CREDENTIALS") {
				require.Regexp(t, `^\$\{\w+:-\}$`, value, "%s of %s", variable, name)
			}
		}
	}
	grafana := readCompose(t).Services["grafana"].Environment
	require.Equal(t, []string{"true", "true", "false"}, []string{grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"],
		grafana["GF_AUTH_DISABLE_LOGIN_FORM"], grafana["GF_AUTH_BASIC_ENABLED"]}, "its own default is admin, admin")
}

func TestComposeFileShowsPagesToThisMachineOnly(t *testing.T) {
	compose := readCompose(t)
	web := compose.Services["web"]
	require.Equal(t, compose.Services["worker"].Volumes, web.Volumes, "it knows the functions that workers serve")
	require.Equal(t, compose.Services["worker"].Environment["REFQ_REDIS"], web.Environment["REFQ_REDIS"])
	require.Equal(t, compose.Services["worker"].Image, web.Image)
	require.Empty(t, web.Profiles)
	require.Equal(t, []string{"web", "--insecure-no-auth"}, web.Command)
	for _, port := range web.Ports {
		require.Equal(t, "127.0.0.1:8383"+web.Environment["REFQ_WEB_LISTEN"], port)
	}
	require.Contains(t, web.Healthcheck.Test, "http://127.0.0.1"+web.Environment["REFQ_WEB_LISTEN"]+"/readyz")
	grace, err := time.ParseDuration(web.StopGrace)
	require.NoError(t, err)
	require.Greater(t, grace, 8*time.Second, "for requests under way")
}

func TestComposeFileScrapesWhatServesMetrics(t *testing.T) {
	compose := readCompose(t)
	_, port, err := net.SplitHostPort(compose.Services["worker"].Environment["REFQ_METRICS"])
	require.NoError(t, err)
	require.Empty(t, compose.Services["worker"].Ports, "metrics are not for the world, and workers are scaled")

	var prometheus struct {
		Global    map[string]string
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Job string `yaml:"job_name"`
			DNS []struct {
				Names []string
				Type  string
				Port  string
			} `yaml:"dns_sd_configs"`
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	text, err := os.ReadFile("deploy/prometheus/prometheus.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(text, &prometheus, yaml.Strict()))
	scraped := map[string]bool{}
	for _, job := range prometheus.Scrape {
		require.True(t, strings.HasPrefix(job.Job, "refq"), "alerts know the job by that")
		for _, dns := range job.DNS {
			require.Contains(t, compose.Services, dns.Names[0])
			require.Equal(t, port, dns.Port)
			scraped[dns.Names[0]] = true
		}
		for _, static := range job.Static {
			host, port, err := net.SplitHostPort(static.Targets[0])
			require.NoError(t, err)
			require.Equal(t, compose.Services[host].Environment["REFQ_WEB_LISTEN"], ":"+port)
			require.Equal(t, compose.Services[host].Environment["REFQ_WEB_HOSTS"], host, "it answers only to names that it knows")
			scraped[host] = true
		}
	}
	require.Equal(t, map[string]bool{"worker": true, "web": true}, scraped)
	for _, file := range prometheus.RuleFiles {
		require.FileExists(t, "deploy/prometheus/"+file)
	}
}

func TestComposeFileMonitorsOnlyWhenAsked(t *testing.T) {
	compose := readCompose(t)
	for _, name := range []string{"prometheus", "grafana"} {
		service := compose.Services[name]
		require.Equal(t, []string{"monitoring"}, service.Profiles, name)
		for _, port := range service.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s at %s asks for no password", name, port)
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if strings.HasPrefix(from, "./") {
				_, err := os.Stat(from)
				require.NoError(t, err, name)
			} else {
				require.Contains(t, compose.Volumes, from, name)
			}
		}
	}
	datasource, err := os.ReadFile("deploy/grafana/provisioning/datasources/prometheus.yaml")
	require.NoError(t, err)
	require.Contains(t, string(datasource), "http://prometheus:9090")
}

func TestDockerfileBuildsAStaticBinaryForAnOrdinaryUser(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	last := map[string]string{} // of each instruction
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		instruction, rest, found := strings.Cut(line, " ")
		require.True(t, found, "%q has no arguments", line)
		require.Contains(t, []string{"FROM", "WORKDIR", "COPY", "RUN", "ARG", "USER", "ENTRYPOINT", "CMD"}, instruction)
		last[instruction] = rest
		if strings.Contains(rest, "go build") {
			require.Contains(t, rest, "CGO_ENABLED=0")
			require.True(t, strings.HasSuffix(rest, " ./cmd/refq"))
		}
	}
	require.Equal(t, "refq", last["USER"])
	require.Contains(t, string(text), "ca-certificates")
	for _, instruction := range []string{"ENTRYPOINT", "CMD"} {
		var words []string
		require.NoError(t, json.Unmarshal([]byte(last[instruction]), &words), instruction)
	}
}
