package check_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// image is what the Dockerfile says.
type image struct {
	build, final instructions.Stage
}

func parseImage(t *testing.T) image {
	t.Helper()
	syntax, err := parser.Parse(strings.NewReader(read(t, "deploy/container/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	if len(syntax.Warnings) > 0 {
		t.Errorf("warnings: %v", syntax.Warnings)
	}
	stages, _, err := instructions.Parse(syntax.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages instead of one that builds and one that is shipped", len(stages))
	}
	return image{build: stages[0], final: stages[1]}
}

// only returns the single instruction of its type in a stage.
func only[T instructions.Command](t *testing.T, stage instructions.Stage) (found T) {
	t.Helper()
	all := every[T](stage)
	if len(all) != 1 {
		t.Fatalf("%d instructions %T instead of one", len(all), found)
	}
	return all[0]
}

func every[T instructions.Command](stage instructions.Stage) (all []T) {
	for _, command := range stage.Commands {
		if c, ok := command.(T); ok {
			all = append(all, c)
		}
	}
	return all
}

func TestTheImageIsBuiltByTheReleaseOfGoThatTheModuleNames(t *testing.T) {
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	if base := parseImage(t).build.BaseName; base != "golang:"+release {
		t.Errorf("the image is built in %s and not in golang:%s", base, release)
	}
}

func TestTheImageIsEmptyButForUsherAndDoesNotRunAsRoot(t *testing.T) {
	final := parseImage(t).final
	if final.BaseName != "scratch" {
		t.Errorf("the image is made from %s", final.BaseName)
	}
	if user := only[*instructions.UserCommand](t, final).User; !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("the user is %s, in which Kubernetes can't see that it is not root", user)
	}
}

// TestTheImageBuildsAndRunsWithAReadOnlyRoot does what the Dockerfile says, in directories instead of containers, and
// runs what comes out with nothing else in sight.
func TestTheImageBuildsAndRunsWithAReadOnlyRoot(t *testing.T) {
	image := parseImage(t)
	root := t.TempDir()
	image.assemble(t, buildStage(t, image.build), root)
	before := files(t, root)

	entry := slices.Concat(only[*instructions.EntrypointCommand](t, image.final).CmdLine, only[*instructions.CmdCommand](t, image.final).CmdLine)
	command := exec.Command(entry[0], entry[1:]...)
	command.Err = nil // The path is one in the image.
	command.Dir = "/"
	command.Env = []string{"USHER_GRPC_ADDRESS=127.0.0.1:0", "USHER_HTTP_ADDRESS=127.0.0.1:0"}
	for _, pair := range only[*instructions.EnvCommand](t, image.final).Env {
		command.Env = append(command.Env, pair.String())
	}
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532, NoSetGroups: os.Geteuid() != 0}}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Geteuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Getegid(), Size: 1}}
		probe := exec.Command("/proc/self/exe", "-test.list=^$")
		probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		if err := probe.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
			t.Skip("SKIPPED: to run the image takes root or user namespaces, and there are neither: ", err)
		}
	}
	s := start(t, command)
	if status := s.stop(); status != 0 {
		t.Errorf("exit status %d\n%s", status, s.log.String())
	}
	var made []string
	for _, file := range files(t, root) {
		if !slices.Contains(before, file) {
			made = append(made, file)
		}
	}
	if !slices.Contains(made, "var/lib/usher/usher.db") {
		t.Errorf("the data is not in the volume; made were %q", made)
	}
	for _, file := range made {
		if !strings.HasPrefix(file, "var/lib/usher/") {
			t.Errorf("%s was made outside of the volume", file)
		}
	}
}

// buildStage runs the first stage and returns the directory that stands for the root of its container. What its base
// image has is not in there.
func buildStage(t *testing.T, stage instructions.Stage) string {
	t.Helper()
	root, dir := t.TempDir(), "/"
	environment := os.Environ()
	for _, command := range stage.Commands {
		switch c := command.(type) {
		case *instructions.WorkdirCommand:
			dir = c.Path
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				environment = append(environment, pair.String())
			}
		case *instructions.ArgCommand:
			for _, arg := range c.Args {
				environment = append(environment, arg.Key+"="+arg.ValueString())
			}
		case *instructions.CopyCommand:
			for _, source := range c.SourcePaths {
				to := path.Join(dir, c.DestPath)
				if strings.HasSuffix(c.DestPath, "/") {
					to = path.Join(to, path.Base(source))
				}
				copyFromContext(t, source, filepath.Join(root, to))
			}
		case *instructions.RunCommand:
			run := exec.Command("sh", append([]string{"-c"}, c.CmdLine...)...)
			run.Dir, run.Env = filepath.Join(root, dir), environment
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c, err, out)
			}
		default:
			t.Fatalf("this test can't do %s", c)
		}
	}
	return root
}

// assemble makes the root of the image from what the first stage has left.
func (i image) assemble(t *testing.T, built, root string) {
	t.Helper()
	for _, c := range every[*instructions.CopyCommand](i.final) {
		if c.From != i.build.Name || len(c.SourcePaths) != 1 {
			t.Fatalf("this test can't do %s", c)
		}
		from, to := filepath.Join(built, c.SourcePaths[0]), filepath.Join(root, c.DestPath)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(from)
		switch {
		case c.SourcePaths[0] == "/etc/ssl/certs/ca-certificates.crt": // of the base image
			err = os.WriteFile(to, nil, 0o644)
		case err == nil && info.IsDir():
			err = os.CopyFS(to, os.DirFS(from))
		case err == nil:
			err = os.Link(from, to)
		}
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		if c.Chown != "" && os.Geteuid() == 0 {
			if err := os.Chown(to, 65532, 65532); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(root, 0o755) })
}

// copyFromContext copies what the builder gets of a file or directory of the project: what .dockerignore leaves.
func copyFromContext(t *testing.T, source, to string) {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	copied := 0
	err = filepath.WalkDir(filepath.Join(top, source), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		if ignore, err := ignored.MatchesOrParentMatches(name); ignore || err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		copied++
		target := filepath.Join(to, strings.TrimPrefix(name, source))
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, content, 0o644))
	})
	if err == nil && copied == 0 {
		err = errors.New("nothing of it gets to the builder")
	}
	if err != nil {
		t.Fatalf("COPY %s: %v", source, err)
	}
}

// files returns the paths of all that is in a directory.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
