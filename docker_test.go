package refq_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// There may be no Docker engine where the tests run: these read what it would be given.

func TestComposeFileGivesWorkersTheRedisTheyNeed(t *testing.T) {
	text, err := os.ReadFile("docker-compose.yml")
	require.NoError(t, err)
	var compose struct {
		Services map[string]struct {
			Build       string
			Image       string
			Command     []string
			Init        bool
			Environment map[string]string
			Volumes     []string
			Healthcheck struct {
				Test              []string
				Interval, Timeout string
				Retries           int
			}
			DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
			StopGrace string                                `yaml:"stop_grace_period"`
			Restart   string
			Name      string `yaml:"container_name"`
		}
		Volumes map[string]any
	}
	require.NoError(t, yaml.UnmarshalWithOptions(text, &compose, yaml.Strict()))

	redis, wrk := compose.Services["redis"], compose.Services["worker"]
	require.Contains(t, strings.Join(redis.Command, " "), "--appendonly yes --appendfsync everysec --maxmemory-policy noeviction")
	require.NotEmpty(t, redis.Healthcheck.Test)
	require.Contains(t, compose.Volumes, strings.Split(redis.Volumes[0], ":")[0])

	require.Equal(t, ".", wrk.Build)
	require.Equal(t, []string{"worker"}, wrk.Command)
	require.Equal(t, "redis://redis:6379/0", wrk.Environment["REFQ_REDIS"])
	require.Equal(t, "service_healthy", wrk.DependsOn["redis"].Condition)
	require.True(t, wrk.Init)
	require.Empty(t, wrk.Name, "a named container cannot be scaled")
	grace, err := time.ParseDuration(wrk.StopGrace)
	require.NoError(t, err)
	require.Greater(t, grace, 8*time.Second, "the default shutdown_timeout")
	require.DirExists(t, strings.TrimSuffix(strings.TrimPrefix(wrk.Volumes[0], "${REFQ_APP:-"), "}:/app:ro"))
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
