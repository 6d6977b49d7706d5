package metrics_test

import (
	"os"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

type alert struct {
	Alert, Expr string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t require.TestingT) (all []alert) {
	text, err := os.ReadFile("../deploy/prometheus/alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	require.NoError(t, yaml.UnmarshalWithOptions(text, &file, yaml.Strict()))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func alertExpressions(t require.TestingT) (expressions []string) {
	for _, a := range alerts(t) {
		expressions = append(expressions, a.Expr)
	}
	return expressions
}

func TestEveryAlertSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, a := range alerts(t) {
		require.False(t, names[a.Alert], a.Alert)
		names[a.Alert] = true
		require.Contains(t, []string{"warning", "critical"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		require.NotEmpty(t, a.Annotations["description"], a.Alert)
		if a.For != "" {
			_, err := time.ParseDuration(a.For)
			require.NoError(t, err, a.Alert)
		}
	}
}
