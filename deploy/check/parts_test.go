package check_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestTheSidecarIsReachedByTheHelpdesk: it is there before the helpdesk starts, at the address that this has, and
// the kernel lets the helpdesk to the socket.
func TestTheSidecarIsReachedByTheHelpdesk(t *testing.T) {
	m := load(t, "sidecar")
	u := m.server(t)
	if first := u.pods.spec.InitContainers[0]; first.Name != u.Name || first.RestartPolicy == nil || *first.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Errorf("%s is not a sidecar that starts first", u.Name)
	}
	if group, all := ptr(u.SecurityContext.RunAsGroup), ptr(u.pods.spec.SecurityContext.FSGroup); group == 0 || group != all {
		t.Errorf("the socket is of the group %d, and the others are in the group %d", group, all)
	}
	socket := u.settings["unix-socket"]
	for _, c := range u.pods.spec.Containers {
		if !slices.Contains(c.Env, corev1.EnvVar{Name: "USHER_ADDRESS", Value: "unix://" + socket}) {
			t.Errorf("%s has another address than unix://%s: %v", c.Name, socket, c.Env)
		}
		if !slices.ContainsFunc(c.VolumeMounts, func(mount corev1.VolumeMount) bool {
			return mount.MountPath == path.Dir(socket) && slices.ContainsFunc(u.VolumeMounts, func(own corev1.VolumeMount) bool {
				return own.Name == mount.Name && own.MountPath == mount.MountPath
			})
		}) {
			t.Errorf("%s does not see the socket %s", c.Name, socket)
		}
	}
}

// TestTheBackupJobMakesABackup runs the command of the job, with what its pod mounts, as the caller that it is.
func TestTheBackupJobMakesABackup(t *testing.T) {
	m := load(t, "central")
	in := newInstallation(t)
	in.start(t)
	index := slices.IndexFunc(m.pods, func(p pods) bool { return p.name == "usher-backup" })
	spec := m.pods[index].spec
	job, remove := spec.InitContainers[0], spec.Containers[0]
	root := t.TempDir()
	for _, mount := range job.VolumeMounts {
		if err := os.MkdirAll(filepath.Join(root, mount.MountPath), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for file := range m.files(t, m.pods[index], job) {
		from := path.Base(file)
		if from == "token" {
			from = "backup" // whose token it is
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(readFile(t, in.path(from))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for _, arg := range job.Args {
		flag, value, _ := strings.Cut(arg, "=")
		switch {
		case flag == "--address":
			m.checkAddress(t, value)
			arg = flag + "=" + in.server.grpc
		case strings.HasPrefix(value, "/"):
			arg = flag + "=" + root + value
		case strings.HasPrefix(flag, "/"):
			arg = root + strings.ReplaceAll(flag, "$(POD_NAME)", "usher-backup-29391737-x7k2p")
		}
		args = append(args, arg)
	}
	if out, err := exec.Command(usher(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	dir, pattern := remove.Args[1], remove.Args[slices.Index(remove.Args, "-name")+1]
	if made, err := filepath.Glob(filepath.Join(root, dir, pattern)); err != nil || len(made) != 1 {
		t.Errorf("%q does not remove what %q makes (%v)", remove.Args, job.Args, err)
	}
}

// checkAddress fails the test unless a service has that address for gRPC.
func (m *manifests) checkAddress(t *testing.T, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(m.services, func(s corev1.Service) bool {
		return host == s.Name+"."+s.Namespace+".svc" && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
			return p.TargetPort.String() == "grpc" && port == fmt.Sprint(p.Port)
		})
	}) {
		t.Errorf("no service has the address %s", address)
	}
}
