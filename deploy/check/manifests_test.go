package check_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are what `kubectl apply -k` would send.
type manifests struct {
	name        string
	pods        []pods
	configMaps  []corev1.ConfigMap
	claims      []corev1.PersistentVolumeClaim
	services    []corev1.Service
	budgets     []policyv1.PodDisruptionBudget
	policies    []networkingv1.NetworkPolicy
	monitors    []monitoringv1.ServiceMonitor
	statefulSet *appsv1.StatefulSet // nil: there is none
	deployment  *appsv1.Deployment  // nil: there is none
}

// pods are those of one workload.
type pods struct {
	name     string
	selector map[string]string // nil: the workload has none
	labels   map[string]string
	spec     corev1.PodSpec
	claims   []corev1.PersistentVolumeClaim // of the workload's own templates
}

// containers are those of the pod, sidecars and initial ones included.
func (p pods) containers() []corev1.Container {
	return slices.Concat(p.spec.InitContainers, p.spec.Containers)
}

// each runs the test for the manifests in each directory.
func each(t *testing.T, test func(*testing.T, *manifests)) {
	for _, name := range []string{"central", "sidecar"} {
		t.Run(name, func(t *testing.T) { test(t, load(t, name)) })
	}
}

// load reads manifests strictly: a field that its type does not have is an error.
func load(t *testing.T, name string) *manifests {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join(top, "deploy/kubernetes", name))
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{name: name}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.add(resource.GetApiVersion()+" "+resource.GetKind(), text); err != nil {
			t.Errorf("%s %s: %v", resource.GetKind(), resource.GetName(), err)
		}
	}
	return m
}

func (m *manifests) add(kind string, text []byte) error {
	switch kind {
	case "v1 Namespace":
		return yaml.UnmarshalStrict(text, &corev1.Namespace{})
	case "v1 ServiceAccount":
		return yaml.UnmarshalStrict(text, &corev1.ServiceAccount{})
	case "v1 ConfigMap":
		return appendStrictly(text, &m.configMaps)
	case "v1 PersistentVolumeClaim":
		return appendStrictly(text, &m.claims)
	case "v1 Service":
		return appendStrictly(text, &m.services)
	case "policy/v1 PodDisruptionBudget":
		return appendStrictly(text, &m.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		return appendStrictly(text, &m.policies)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return appendStrictly(text, &m.monitors)
	case "apps/v1 StatefulSet":
		set := &appsv1.StatefulSet{}
		m.statefulSet = set
		err := yaml.UnmarshalStrict(text, set)
		m.pods = append(m.pods, pods{set.Name, set.Spec.Selector.MatchLabels, set.Spec.Template.Labels, set.Spec.Template.Spec, set.Spec.VolumeClaimTemplates})
		return err
	case "apps/v1 Deployment":
		deployment := &appsv1.Deployment{}
		m.deployment = deployment
		err := yaml.UnmarshalStrict(text, deployment)
		m.pods = append(m.pods, pods{deployment.Name, deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels, deployment.Spec.Template.Spec, nil})
		return err
	case "batch/v1 CronJob":
		job := &batchv1.CronJob{}
		err := yaml.UnmarshalStrict(text, job)
		template := job.Spec.JobTemplate.Spec.Template
		m.pods = append(m.pods, pods{job.Name, nil, template.Labels, template.Spec, nil})
		return err
	}
	return errKind(kind)
}

type errKind string

func (e errKind) Error() string { return "the tests do not know " + string(e) + ": add it to them" }

func appendStrictly[T any](text []byte, to *[]T) error {
	var object T
	err := yaml.UnmarshalStrict(text, &object)
	*to = append(*to, object)
	return err
}

// has is whether the labels are what a selector asks for. An empty selector is none.
func has(labels, selector map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// selected are the pods that a selector finds.
func (m *manifests) selected(selector map[string]string) (found []pods) {
	for _, p := range m.pods {
		if has(p.labels, selector) {
			found = append(found, p)
		}
	}
	return found
}

// hasPort is whether one of the containers has a port of that name.
func (p pods) hasPort(name string) bool {
	return slices.ContainsFunc(p.containers(), func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == name })
	})
}

func TestOneFileHasOneWriter(t *testing.T) {
	central, sidecar := load(t, "central"), load(t, "sidecar")
	if replicas := central.statefulSet.Spec.Replicas; replicas == nil || *replicas != 1 {
		t.Error("the central service does not have one replica")
	}
	if replicas := sidecar.deployment.Spec.Replicas; replicas == nil || *replicas != 1 {
		t.Error("the helpdesk with the sidecar does not have one replica")
	}
	if strategy := sidecar.deployment.Spec.Strategy.Type; strategy != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("with the strategy %q there would be two pods while one takes the place of the other", strategy)
	}
	for _, claim := range append(sidecar.claims, central.statefulSet.Spec.VolumeClaimTemplates...) {
		if !slices.Equal(claim.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}) {
			t.Errorf("the claim %s lets more than one pod write", claim.Name)
		}
	}
}

func TestEverySelectorFindsThePodsThatItMeans(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range m.pods {
			if p.selector != nil && !has(p.labels, p.selector) {
				t.Errorf("%s does not select its own pods", p.name)
			}
		}
		for _, service := range m.services {
			found := m.selected(service.Spec.Selector)
			if len(found) != 1 {
				t.Fatalf("the service %s is for %d workloads", service.Name, len(found))
			}
			for _, port := range service.Spec.Ports {
				if !found[0].hasPort(port.TargetPort.String()) {
					t.Errorf("the service %s sends to the port %s, which %s does not have", service.Name, port.TargetPort.String(), found[0].name)
				}
			}
		}
		if m.statefulSet != nil && !slices.ContainsFunc(m.services, func(s corev1.Service) bool {
			return s.Name == m.statefulSet.Spec.ServiceName && s.Spec.ClusterIP == corev1.ClusterIPNone
		}) {
			t.Errorf("there is no headless service %s", m.statefulSet.Spec.ServiceName)
		}
		for _, budget := range m.budgets {
			if len(m.selected(budget.Spec.Selector.MatchLabels)) != 1 {
				t.Errorf("the budget %s is not for one workload", budget.Name)
			}
			if budget.Spec.MinAvailable != nil || budget.Spec.MaxUnavailable == nil || budget.Spec.MaxUnavailable.IntValue() != 1 {
				t.Errorf("the budget %s keeps a node from being drained", budget.Name)
			}
		}
		for _, policy := range m.policies {
			m.checkPolicy(t, policy)
		}
		for _, monitor := range m.monitors {
			m.checkMonitor(t, monitor)
		}
	})
}

func (m *manifests) checkPolicy(t *testing.T, policy networkingv1.NetworkPolicy) {
	t.Helper()
	about := m.selected(policy.Spec.PodSelector.MatchLabels)
	if len(about) != 1 {
		t.Fatalf("the policy %s is about %d workloads", policy.Name, len(about))
	}
	if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) || !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Errorf("the policy %s leaves a direction open", policy.Name)
	}
	// peers are the workloads here that a rule means. Others have to be in another namespace.
	peers := func(peers []networkingv1.NetworkPolicyPeer) (found []pods) {
		if len(peers) == 0 {
			t.Errorf("a rule of the policy %s is for all the world", policy.Name)
		}
		for _, peer := range peers {
			if peer.NamespaceSelector != nil {
				continue
			}
			here := m.selected(peer.PodSelector.MatchLabels)
			if len(here) == 0 {
				t.Errorf("a rule of the policy %s is for pods that there are not", policy.Name)
			}
			found = append(found, here...)
		}
		return found
	}
	ports := func(of []pods, ports []networkingv1.NetworkPolicyPort) {
		for _, p := range of {
			for _, port := range ports {
				if !p.hasPort(port.Port.String()) {
					t.Errorf("the policy %s opens the port %s, which %s does not have", policy.Name, port.Port, p.name)
				}
			}
		}
	}
	for _, rule := range policy.Spec.Ingress {
		peers(rule.From)
		ports(about, rule.Ports)
	}
	for _, rule := range policy.Spec.Egress {
		ports(peers(rule.To), rule.Ports)
	}
}

func (m *manifests) checkMonitor(t *testing.T, monitor monitoringv1.ServiceMonitor) {
	t.Helper()
	var found []corev1.Service
	for _, service := range m.services {
		if has(service.Labels, monitor.Spec.Selector.MatchLabels) {
			found = append(found, service)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the monitor %s finds %d services: what it scrapes would be counted as often", monitor.Name, len(found))
	}
	if job := found[0].Labels[monitor.Spec.JobLabel]; job != "usher" {
		t.Errorf("the job is %q, and the rules rely on usher", job)
	}
	for _, endpoint := range monitor.Spec.Endpoints {
		if !slices.ContainsFunc(found[0].Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == endpoint.Port }) {
			t.Errorf("the service %s does not have the port %s", found[0].Name, endpoint.Port)
		}
		if scheme := ptr(endpoint.Scheme); endpoint.Path != "/metrics" || scheme != "https" {
			t.Errorf("%s is scraped over %s, and not /metrics over https", endpoint.Path, scheme)
		}
		token, authority := endpoint.Authorization.Credentials, endpoint.TLSConfig.CA.Secret
		if !hasSecret(t, token.Name, token.Key) || !hasSecret(t, authority.Name, authority.Key) {
			t.Errorf("docs/deploy.md does not say how to make the token %s or the authority %s", token, authority)
		}
		if name := ptr(endpoint.TLSConfig.ServerName); name != found[0].Name+"."+found[0].Namespace+".svc" {
			t.Errorf("the certificate would have to be for %s", name)
		}
	}
}

func ptr[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

func TestPodsMayNoMoreThanTheyNeed(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range m.pods {
			if p.spec.AutomountServiceAccountToken == nil || *p.spec.AutomountServiceAccountToken {
				t.Errorf("%s has a token of Kubernetes", p.name)
			}
			if p.spec.EnableServiceLinks == nil || *p.spec.EnableServiceLinks {
				t.Errorf("%s gets variables that look like settings", p.name)
			}
			all := p.spec.SecurityContext
			if all == nil || !ptr(all.RunAsNonRoot) || all.SeccompProfile == nil || all.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s may run as root, or make every system call", p.name)
			}
			for _, c := range p.containers() {
				own := c.SecurityContext
				if own == nil || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation || !ptr(own.ReadOnlyRootFilesystem) ||
					own.Capabilities == nil || !slices.Contains(own.Capabilities.Drop, "ALL") || len(own.Capabilities.Add) > 0 {
					t.Errorf("the container %s of %s may more than it needs", c.Name, p.name)
				}
				if user := p.user(c); user == 0 {
					t.Errorf("the container %s of %s does not say as whom it runs", c.Name, p.name)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("the container %s of %s has no limit of memory, or asks for no processor", c.Name, p.name)
				}
				if _, tag, found := strings.Cut(c.Image, ":"); !found || tag == "latest" {
					t.Errorf("the image %s is not one that stays the same", c.Image)
				}
			}
		}
	})
}

// user is the id of the user that the container runs as, or 0.
func (p pods) user(c corev1.Container) int64 {
	if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
		return *c.SecurityContext.RunAsUser
	}
	return ptr(p.spec.SecurityContext.RunAsUser)
}

// TestVolumesAreThereAndMounted checks, too, that each Secret that has to be made before is described.
func TestVolumesAreThereAndMounted(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range m.pods {
			volumes, mounted := map[string]bool{}, map[string]bool{}
			for _, claim := range p.claims {
				volumes[claim.Name] = true
				if p.spec.SecurityContext.FSGroup == nil {
					t.Errorf("%s has no fsGroup: the claim %s would be root's", p.name, claim.Name)
				}
			}
			for _, volume := range p.spec.Volumes {
				volumes[volume.Name] = true
				switch {
				case volume.ConfigMap != nil && !slices.ContainsFunc(m.configMaps, func(c corev1.ConfigMap) bool { return c.Name == volume.ConfigMap.Name }):
					t.Errorf("%s mounts the ConfigMap %s, which is not there", p.name, volume.ConfigMap.Name)
				case volume.PersistentVolumeClaim != nil && !slices.ContainsFunc(m.claims, func(c corev1.PersistentVolumeClaim) bool { return c.Name == volume.PersistentVolumeClaim.ClaimName }):
					t.Errorf("%s mounts the claim %s, which is not there", p.name, volume.PersistentVolumeClaim.ClaimName)
				case volume.PersistentVolumeClaim != nil && p.spec.SecurityContext.FSGroup == nil:
					t.Errorf("%s has no fsGroup: the claim %s would be root's", p.name, volume.PersistentVolumeClaim.ClaimName)
				case volume.Secret != nil && slices.ContainsFunc(volume.Secret.Items, func(i corev1.KeyToPath) bool { return !hasSecret(t, volume.Secret.SecretName, i.Key) }):
					t.Errorf("docs/deploy.md does not say how to make the Secret %s", volume.Secret.SecretName)
				case volume.Secret != nil && ptr(volume.Secret.DefaultMode)&0o007 != 0:
					t.Errorf("everybody in the container can read the Secret %s", volume.Secret.SecretName)
				}
			}
			for _, c := range p.containers() {
				for _, mount := range c.VolumeMounts {
					mounted[mount.Name] = true
				}
			}
			if !maps.Equal(volumes, mounted) {
				t.Errorf("%s has the volumes %v and mounts %v", p.name, volumes, mounted)
			}
		}
	})
}

// hasSecret is whether docs/deploy.md has a command that makes a Secret with that key.
func hasSecret(t *testing.T, name, key string) bool {
	t.Helper()
	page := strings.ReplaceAll(read(t, "docs/deploy.md"), "\\\n", " ")
	return regexp.MustCompile(`create secret generic ` + regexp.QuoteMeta(name) + ` .*--from-file=` + regexp.QuoteMeta(key) + `\b`).MatchString(page)
}
