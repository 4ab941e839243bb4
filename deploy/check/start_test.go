package check_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestTheServerStartsWithWhatItsPodMounts puts what the container mounts into a directory, and starts the server on it
// as the pod does. Then the probes are answered.
func TestTheServerStartsWithWhatItsPodMounts(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		u := m.server(t)
		in := newInstallation(t)
		root, err := os.MkdirTemp("", "usher-") // t.TempDir is too long for a socket.
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(root) })
		for _, mount := range u.VolumeMounts {
			if err := os.MkdirAll(filepath.Join(root, mount.MountPath), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		// The user of the container is the one who runs this test.
		users := strings.NewReplacer("uid:65532", fmt.Sprint("uid:", os.Getuid()), "uid:1000", fmt.Sprint("uid:", os.Getuid()+1))
		for path, text := range u.files {
			if text == "" {
				text = readFile(t, in.path(filepath.Base(path)))
			}
			if err := os.WriteFile(filepath.Join(root, path), []byte(users.Replace(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		settings := maps.Clone(u.settings)
		for key, value := range settings {
			if strings.HasPrefix(value, "/") {
				settings[key] = filepath.Join(root, value)
			}
		}
		config := filepath.Join(root, "usher.yaml")
		checkSettings(t, config, settings)

		for _, address := range []string{"grpc-address", "http-address"} {
			if given, is := settings[address]; !is || given != "" {
				settings[address] = "127.0.0.1:0"
			}
		}
		writeSettings(t, config, settings)
		in.server = start(t, serve(t, "--config="+config))
		if u.settings["tls-cert-file"] != "" {
			in.get(t, u.LivenessProbe.HTTPGet.Path, "")
			in.get(t, u.ReadinessProbe.HTTPGet.Path, "")
			in.metrics(t)
		}
		if u.ReadinessProbe.Exec != nil {
			args := u.ReadinessProbe.Exec.Command[1:]
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "unix://", "unix://"+root)
			}
			if out, err := exec.Command(usher(t), args...).CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", args, err, out)
			}
		}
		if status := in.server.stop(); status != 0 {
			t.Errorf("exit status %d\n%s", status, in.server.log.String())
		}
	})
}

// checkSettings has the server say whether it would start with the settings: also where it is to listen, which is not
// tried here.
func checkSettings(t *testing.T, path string, settings map[string]string) {
	t.Helper()
	writeSettings(t, path, settings)
	if out, err := exec.Command(usher(t), "config", "check", "--config="+path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func writeSettings(t *testing.T, path string, settings map[string]string) {
	t.Helper()
	text, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
