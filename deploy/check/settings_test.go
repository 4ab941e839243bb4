package check_test

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// usherContainer is the container that serves, with its pods and its settings.
type usherContainer struct {
	corev1.Container
	pods     pods
	settings map[string]string
	files    map[string]string // what is mounted read-only of ConfigMaps, by path; a secret is "" here
}

// server returns the container that serves.
func (m *manifests) server(t *testing.T) usherContainer {
	t.Helper()
	for _, p := range m.pods {
		for _, c := range p.containers() {
			if len(c.Args) == 0 || c.Args[0] != "serve" {
				continue
			}
			u := usherContainer{Container: c, pods: p, files: m.files(t, p, c)}
			_, config, _ := strings.Cut(c.Args[1], "--config=")
			if err := yaml.UnmarshalStrict([]byte(u.files[config]), &u.settings); err != nil || len(u.settings) == 0 {
				t.Fatalf("%s is not a file with settings: %v", config, err)
			}
			return u
		}
	}
	t.Fatal("nothing serves")
	return usherContainer{}
}

func (m *manifests) files(t *testing.T, p pods, c corev1.Container) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, mount := range c.VolumeMounts {
		if mount.SubPath != "" {
			t.Errorf("%s would not change when what is mounted there does", mount.MountPath)
		}
		for _, volume := range p.spec.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			if volume.Secret != nil {
				for _, item := range volume.Secret.Items {
					files[path.Join(mount.MountPath, item.Path)] = ""
				}
			}
			for _, configMap := range m.configMaps {
				if volume.ConfigMap != nil && configMap.Name == volume.ConfigMap.Name {
					for key, text := range configMap.Data {
						files[path.Join(mount.MountPath, key)] = text
					}
				}
			}
		}
	}
	return files
}

func TestEveryArgumentIsAFlagThatExists(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range m.pods {
			for _, c := range p.containers() {
				commands := [][]string{c.Args}
				for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
					if probe != nil && probe.Exec != nil {
						commands = append(commands, probe.Exec.Command[1:])
					}
				}
				for _, args := range commands {
					if len(args) == 0 || !strings.HasPrefix(c.Image, "registry.example/usher:") {
						continue
					}
					text := help(t, args[0])
					for _, arg := range args[1:] {
						if flag, _, _ := strings.Cut(arg, "="); strings.HasPrefix(flag, "-") && !strings.Contains(text, "   "+flag+" ") {
							t.Errorf("usher %s does not have %s", args[0], flag)
						}
					}
				}
			}
		}
	})
}

func TestEverySettingExistsAndFits(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		u := m.server(t)
		text := help(t, "serve")
		for key, value := range u.settings {
			if !strings.Contains(text, " --"+key+" ") {
				t.Errorf("there is no setting %s", key)
			}
			if _, mounted := u.files[value]; strings.HasSuffix(key, "-file") && !mounted {
				t.Errorf("%s: %s is not mounted; there are %v", key, value, u.files)
			}
		}
		if !u.writable(u.settings["data-dir"], func(p pods, name string) bool {
			return slices.ContainsFunc(p.claims, func(c corev1.PersistentVolumeClaim) bool { return c.Name == name }) ||
				slices.ContainsFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == name && v.PersistentVolumeClaim != nil })
		}) {
			t.Errorf("data-dir: %s is not a volume that stays", u.settings["data-dir"])
		}
		if socket := u.settings["unix-socket"]; socket != "" && !u.writable(path.Dir(socket), func(p pods, name string) bool {
			return slices.ContainsFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == name && v.EmptyDir != nil })
		}) {
			t.Errorf("unix-socket: %s can't be made there", socket)
		}
		for name, key := range map[string]string{"grpc": "grpc-address", "http": "http-address"} {
			for _, port := range u.Ports {
				if _, number, err := net.SplitHostPort(u.settings[key]); port.Name == name && (err != nil || number != fmt.Sprint(port.ContainerPort)) {
					t.Errorf("the port %s is %d, and %s is %s", name, port.ContainerPort, key, u.settings[key])
				}
			}
		}
		drain, err := time.ParseDuration(u.settings["drain-time"])
		if grace := time.Duration(ptr(u.pods.spec.TerminationGracePeriodSeconds)) * time.Second; err != nil || grace < drain+10*time.Second {
			t.Errorf("the pod is killed after %v, when running calls may take %v (%v)", grace, drain, err)
		}
	})
}

// writable is whether the directory is a volume of that kind in which the server may write.
func (u usherContainer) writable(dir string, kind func(p pods, name string) bool) bool {
	return slices.ContainsFunc(u.VolumeMounts, func(mount corev1.VolumeMount) bool {
		return mount.MountPath == dir && !mount.ReadOnly && kind(u.pods, mount.Name)
	})
}

func TestProbesAskWhatIsThere(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		u := m.server(t)
		if u.StartupProbe == nil || u.ReadinessProbe == nil {
			t.Fatal("there is no startupProbe or no readinessProbe")
		}
		scheme := corev1.URISchemeHTTP
		if u.settings["tls-cert-file"] != "" {
			scheme = corev1.URISchemeHTTPS
		}
		for path, probe := range map[string]*corev1.Probe{"/readyz": u.ReadinessProbe, "/readyz ": u.StartupProbe, "/healthz": u.LivenessProbe} {
			switch {
			case probe == nil:
			case probe.Exec != nil:
				if !slices.Contains(probe.Exec.Command, "--address=unix://"+u.settings["unix-socket"]) {
					t.Errorf("the probe %q asks somewhere else", probe.Exec.Command)
				}
			case probe.HTTPGet.Path != strings.TrimSpace(path) || probe.HTTPGet.Scheme != scheme || probe.HTTPGet.Port.String() != "http" || !u.pods.hasPort("http"):
				t.Errorf("the probe of %s asks %+v", path, probe.HTTPGet)
			}
		}
	})
}

func TestEveryTokenAndUserInTheAccessFileIsOneThatThereIs(t *testing.T) {
	page := read(t, "docs/deploy.md")
	each(t, func(t *testing.T, m *manifests) {
		u := m.server(t)
		access := u.files[u.settings["access-file"]]
		users := map[string]bool{}
		for _, c := range u.pods.containers() {
			users[fmt.Sprint(u.pods.user(c))] = true
		}
		found := 0
		for _, identity := range regexp.MustCompile(`- (token|uid):(\S+)`).FindAllStringSubmatch(access, -1) {
			found++
			switch {
			case identity[1] == "uid" && !users[identity[2]]:
				t.Errorf("no container runs as the user %s", identity[2])
			case identity[1] == "token" && !strings.Contains(page, "usher token new "+identity[2]):
				t.Errorf("docs/deploy.md does not say how to make the token %s", identity[2])
			}
		}
		if found == 0 {
			t.Error("the access file knows nobody")
		}
	})
}
