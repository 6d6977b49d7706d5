package check

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/refq/refq/worker"
)

// objects are what a file asks Kubernetes for, by name.
type objects struct {
	deployments map[string]appsv1.Deployment
	budgets     map[string]policyv1.PodDisruptionBudget
	services    map[string]corev1.Service
}

// read decodes a file into the types of the API, and refuses a field that these have not.
func read(t *testing.T, file string) objects {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	all := objects{map[string]appsv1.Deployment{}, map[string]policyv1.PodDisruptionBudget{}, map[string]corev1.Service{}}
	for _, part := range bytes.Split(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal(part, &kind))
		switch kind.APIVersion + " " + kind.Kind {
		case "apps/v1 Deployment":
			into(t, part, all.deployments, func(d appsv1.Deployment) string { return d.Name })
		case "policy/v1 PodDisruptionBudget":
			into(t, part, all.budgets, func(b policyv1.PodDisruptionBudget) string { return b.Name })
		case "v1 Service":
			into(t, part, all.services, func(s corev1.Service) string { return s.Name })
		default:
			require.Fail(t, "unknown", "%s %s", kind.APIVersion, kind.Kind)
		}
	}
	return all
}

func into[T any](t *testing.T, text []byte, all map[string]T, name func(T) string) {
	var object T
	require.NoError(t, yaml.UnmarshalStrict(text, &object))
	require.NotContains(t, all, name(object))
	all[name(object)] = object
}

func TestPodsAreStoppedAndProbedAsRefqNeedsIt(t *testing.T) {
	all := read(t, "../refq.yaml")
	require.Len(t, all.deployments, 2)
	for name, d := range all.deployments {
		t.Run(name, func(t *testing.T) {
			labels, pod := d.Spec.Template.Labels, d.Spec.Template.Spec
			require.Equal(t, d.Spec.Selector.MatchLabels, labels)
			require.Equal(t, labels, all.budgets[name].Spec.Selector.MatchLabels)
			require.Equal(t, 1, all.budgets[name].Spec.MaxUnavailable.IntValue(), "a node can be drained")
			require.Greater(t, time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second, worker.DefaultShutdownTimeout+10*time.Second)

			require.Len(t, pod.Containers, 1)
			c := pod.Containers[0]
			require.Len(t, c.Ports, 1)
			require.Contains(t, c.Args, ":"+strconv.Itoa(int(c.Ports[0].ContainerPort)), "it listens where it is probed")
			for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
				require.Equal(t, path, probe.HTTPGet.Path)
				require.Equal(t, c.Ports[0].Name, probe.HTTPGet.Port.String())
			}
			require.GreaterOrEqual(t, c.LivenessProbe.PeriodSeconds*c.LivenessProbe.FailureThreshold, int32(60), "a busy machine kills nobody")
			require.NotZero(t, c.Resources.Limits.Memory().Value())
			require.Zero(t, c.Resources.Limits.Cpu().Value(), "who is held up misses heartbeats")
		})
	}
	service := all.services["refq-web"]
	require.Equal(t, all.deployments["refq-web"].Spec.Template.Labels, service.Spec.Selector)
	require.Equal(t, all.deployments["refq-web"].Spec.Template.Spec.Containers[0].Ports[0].Name, service.Spec.Ports[0].TargetPort.String())
}

// A password in the URL would be in everybody's list of Deployments.
func TestPasswordsComeFromSecrets(t *testing.T) {
	for name, d := range read(t, "../refq.yaml").deployments {
		pod := d.Spec.Template.Spec
		c := pod.Containers[0]
		env := map[string]corev1.EnvVar{}
		for _, v := range c.Env {
			env[v.Name] = v
		}
		_, file, found := strings.Cut(env["REFQ_REDIS"].Value, "password_file=")
		require.True(t, found, name)
		require.NotRegexp(t, `//[^@]*:[^@]*@`, env["REFQ_REDIS"].Value, name)
		mounted := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(file, m.MountPath+"/") })
		require.GreaterOrEqual(t, mounted, 0, "%s: nothing is mounted where %s is", name, file)
		volume := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[mounted].Name })
		require.NotNil(t, pod.Volumes[volume].Secret, name)
		require.Empty(t, c.VolumeMounts[mounted].SubPath, "a file mounted alone is not replaced")
		if credentials, has := env["REFQ_WEB_CREDENTIALS"]; has {
			require.NotNil(t, credentials.ValueFrom.SecretKeyRef, name)
		}
	}
}

func TestFlagsExist(t *testing.T) {
	for name, d := range read(t, "../refq.yaml").deployments {
		args := d.Spec.Template.Spec.Containers[0].Args
		refq := exec.Command("go", "run", "./cmd/refq", args[0], "--help")
		refq.Dir = "../../.."
		help, err := refq.CombinedOutput()
		require.NoError(t, err, "%s", help)
		require.Contains(t, string(help), "refq "+args[0]+" [flags]")
		flags := 0
		for _, arg := range args[1:] {
			if strings.HasPrefix(arg, "--") {
				require.Contains(t, string(help), " "+arg+" ", name)
				flags++
			}
		}
		require.NotZero(t, flags)
	}
}
