package refq_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/worker"
)

// units are the files of systemd, by name.
func units(t *testing.T) map[string]string {
	files, err := filepath.Glob("deploy/systemd/*.service")
	require.NoError(t, err)
	require.Len(t, files, 2)
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all[filepath.Base(file)] = string(text)
	}
	return all
}

// setting is what a unit sets name to.
func setting(t *testing.T, unit, name string) string {
	found := regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1)
	require.Len(t, found, 1, name)
	return found[0][1]
}

func TestUnitsStopRefqInGoodOrderAndGiveItLittle(t *testing.T) {
	state := map[string]bool{}
	for name, unit := range units(t) {
		seconds, err := strconv.Atoi(setting(t, unit, "TimeoutStopSec"))
		require.NoError(t, err)
		require.Greater(t, time.Duration(seconds)*time.Second, worker.DefaultShutdownTimeout+10*time.Second, name)
		for hardening, want := range map[string]string{"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
			"CapabilityBoundingSet": "", "SystemCallFilter": "@system-service", "Restart": "always"} {
			require.Equal(t, want, setting(t, unit, hardening), "%s of %s", hardening, name)
		}
		password, _, _ := strings.Cut(setting(t, unit, "LoadCredential"), ":")
		require.Contains(t, unit, "password_file=/run/credentials/"+name+"/"+password)
		require.Equal(t, "/var/lib/"+setting(t, unit, "StateDirectory"), setting(t, unit, "WorkingDirectory"))
		state[setting(t, unit, "StateDirectory")] = true
	}
	require.Len(t, state, 2, "two users cannot share a folder")
	require.Equal(t, "mixed", setting(t, units(t)["refq-worker.service"], "KillMode"), "the worker stops its programs itself")
}

func TestUnitsNameFlagsThatExist(t *testing.T) {
	testkit.Reserve(t, 1)
	for name, unit := range units(t) {
		words := strings.Fields(setting(t, unit, "ExecStart"))
		help, err := exec.Command("go", "run", "./cmd/refq", words[1], "--help").CombinedOutput()
		require.NoError(t, err, "%s", help)
		require.Contains(t, string(help), "refq "+words[1]+" [flags]")
		flags := 0
		for _, word := range words[2:] {
			if strings.HasPrefix(word, "--") {
				require.Contains(t, string(help), " "+word+" ", name)
				flags++
			}
		}
		require.NotZero(t, flags)
	}
}

// systemd looks for the program, too.
func TestSystemdTakesTheUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("without systemd-analyze")
	}
	testkit.Reserve(t, 1)
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for name, unit := range units(t) {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/local/bin/refq", "/bin/true")), 0o600))
		args = append(args, file)
	}
	said, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.NotContains(t, string(said), "refq-", "units of the machine may have their own faults")
}
