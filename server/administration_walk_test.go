package server_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

var (
	walkSeed  = flag.Uint64("walk-seed", 0, "seed of the walk of administrative calls; 0 takes a new one")
	walkSteps = flag.Int("walk-steps", 400, "how many steps TestAdministrationWalk takes")
)

// walkSeen says how often in 1,000 steps something has to have happened at least, so that an
// agreement means something. It is far below what is usual.
var walkSeen = map[string]int{
	"changed":            200,
	"unchanged":          15,
	"only validated":     50,
	"repeated":           10,
	"cleared":            10,
	"asked for the past": 1000,

	"changed by BatchWriteResponse":    25,
	"changed by ChangeRoleResponse":    5,
	"changed by GrantResponse":         80,
	"changed by RemoveSubjectResponse": 2,
	"changed by RevokeResponse":        10,
	"changed by SetToggleResponse":     3,

	"refused: ABORTED CHANGED_MEANWHILE":           15,
	"refused: ALREADY_EXISTS REQUEST_ID_REUSED":    2,
	"refused: FAILED_PRECONDITION NOT_HELD":        5,
	"refused: FAILED_PRECONDITION OWN_ROLES":       10,
	"refused: PERMISSION_DENIED ACTOR_NOT_ALLOWED": 40,
}

// walk is a random walk of administrative calls, on several tenants of one server.
type walk struct {
	*testing.T
	*rand.Rand
	h       *harness
	tenants []*walkTenant
	// revisions are all that answers carried, oldest first, and order is where each is in them.
	revisions  []walkRevision
	order      map[string]int
	otherEpoch string
	step       int
	seen       map[string]int
	heads      []*usherv1.Head // kept on the way
	trace      []string
}

// walkRevision is a revision and the time of its commit.
type walkRevision struct {
	revision string
	time     int64
}

// walkTenant is a tenant with what it should have in it.
type walkTenant struct {
	*walk
	*walkProduct
	name  string
	state *walkState
	// created is the place, in the order of revisions, of its creation.
	created int
	// moments are the states after each change, oldest first.
	moments []walkMoment
	// changedAt is the place, in the order of revisions, of the last change of a subject's
	// assignments or of a toggle.
	changedAt map[string]int
	requests  map[string]walkRequest // by request id
	calls     []*walkCall            // those with a request id that came through
	records   []*usherv1.ChangeRecord
	replayed  *walkState // what the records say
}

// walkMoment is a state that was current from a revision on.
type walkMoment struct {
	order int
	time  int64
	state *walkState
}

// walkRequest is a call that came through with a request id.
type walkRequest struct {
	call     *walkCall
	outcome  usherv1.Outcome
	revision string
	at       int64
}

// TestAdministrationWalk makes random administrative calls as several people and the
// operator, while the clock moves, and compares each answer, and all that can be read
// afterwards, with a model that was written from the description of the products.
func TestAdministrationWalk(t *testing.T) {
	seed := cmp.Or(*walkSeed, rand.Uint64())
	t.Logf("repeat with -walk-seed %d", seed)
	w := &walk{
		T: t, Rand: rand.New(rand.NewPCG(seed, 0)), h: newHarness(t),
		order: map[string]int{}, seen: map[string]int{}, otherEpoch: revisionOfOtherStore(t),
	}
	for _, product := range walkProducts {
		w.create(product)
	}
	for w.step = 1; w.step <= *walkSteps; w.step++ {
		w.moveClock()
		if w.IntN(20) == 0 {
			w.maintain()
		}
		tenant := w.tenants[w.IntN(len(w.tenants))]
		tenant.takeStep()
		tenant.check()
	}
	for _, tenant := range w.tenants {
		tenant.checkWhole()
	}
	w.trim()
	for _, what := range slices.Sorted(maps.Keys(w.seen)) {
		t.Logf("%6d %s", w.seen[what], what)
	}
	if *walkSteps < 300 {
		return
	}
	for what, least := range walkSeen {
		if least = least * *walkSteps / 1_000; w.seen[what] < least {
			t.Errorf("%s: %d times in %d steps, want %d", what, w.seen[what], *walkSteps, least)
		}
	}
}

// revisionOfOtherStore returns a revision that is none of the harness's store.
func revisionOfOtherStore(t *testing.T) string {
	other := newHarness(t)
	info, err := other.operator.GetServerInfo(t.Context(), &usherv1.GetServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info.GetRevision()
}

func (w *walk) now() int64 { return w.h.clock.Now().UnixNano() }

// fail ends the walk with what led here.
func (w *walk) fail(format string, args ...any) {
	w.Helper()
	last := w.trace[max(0, len(w.trace)-12):]
	w.Fatalf("step %d at %s: %s\nbefore:\n%s", w.step, w.h.clock.Now().Format(time.RFC3339Nano),
		fmt.Sprintf(format, args...), strings.Join(last, "\n"))
}

// must ends the walk if a call that has to come through does not.
func (w *walk) must(err error) {
	w.Helper()
	if err != nil {
		w.fail("%v %v", err, status.Convert(err).Details())
	}
}

// create makes a tenant of a product, whose first administrator is user:ann.
func (w *walk) create(product *walkProduct) {
	if product.yaml != "" {
		_, err := w.h.operator.PutCatalog(w.Context(), &usherv1.PutCatalogRequest{Yaml: product.yaml})
		w.must(err)
	}
	t := &walkTenant{
		walk: w, walkProduct: product, name: "tenant-" + product.catalog,
		changedAt: map[string]int{}, requests: map[string]walkRequest{},
		state:    &walkState{held: map[walkKey]walkInterval{}, toggles: map[string]bool{}},
		replayed: &walkState{held: map[walkKey]walkInterval{}, toggles: map[string]bool{}},
	}
	w.tenants = append(w.tenants, t)
	created, err := w.h.operator.CreateTenant(w.Context(), &usherv1.CreateTenantRequest{
		Tenant: t.name, Catalog: product.catalog, FirstAdministrator: "user:ann",
	})
	w.must(err)
	after := t.state.clone()
	after.held[walkKey{"user:ann", product.protected, ""}] = walkInterval{fromEver, withoutEnd}
	if product.primary {
		after.primary = "user:ann"
	}
	t.changed(created.GetRevision(), after, append(differences(t.state, after), "tenant created "+product.catalog), nil, "")
	t.created = t.order[created.GetRevision()]
	t.check()
}

// moveClock lets time pass: none, a little, up to a start or end of something, or long.
func (w *walk) moveClock() {
	now := w.now()
	switch n := w.IntN(100); {
	case n < 40:
		return
	case n < 50:
		now += int64(w.IntN(3))
	case n < 75:
		t := w.tenants[w.IntN(len(w.tenants))]
		i := t.state.held[pick(w.Rand, t.keys())]
		for _, boundary := range []int64{i.from, i.until} {
			if boundary > now && boundary < now+int64(48*time.Hour) {
				now = max(now, boundary+int64(w.IntN(3))-1)
				break
			}
		}
	case n < 98:
		now += w.Int64N(int64(2 * time.Hour))
	default:
		now += int64(20*time.Hour) + w.Int64N(int64(20*time.Hour))
	}
	w.h.clock.Set(time.Unix(0, now).UTC())
}

// takeStep makes a call, or asks what it would do and then makes it.
func (t *walkTenant) takeStep() {
	var c *walkCall
	if len(t.calls) > 0 && t.IntN(100) < 20 {
		c = t.drawAgain()
	} else {
		c = t.drawCall()
	}
	if r, ok := t.requests[c.requestID]; ok && c.requestID != "" {
		if age := time.Duration(t.now() - r.at); age > walkRequestsKept-time.Second && age < walkRequestsKept+time.Second {
			return // it is not said to the nanosecond when a request is forgotten
		}
	}
	if t.IntN(100) < 25 {
		t.call(c, true)
		if t.IntN(3) == 0 {
			return
		}
	}
	t.call(c, false)
}

// call makes a call and compares what comes of it with the model.
func (t *walkTenant) call(c *walkCall, validateOnly bool) {
	verdict := t.predict(c, validateOnly)
	method, request, answer := c.message(t.name, validateOnly)
	err := t.h.conn.Invoke(context.Background(), method, request, answer)
	got := "OK"
	if err != nil {
		got = errorWords(err)
	}
	t.trace = append(t.trace, fmt.Sprintf("step %d at %s in %s: %s validate_only=%v: %s",
		t.step, t.h.clock.Now().Format(time.RFC3339Nano), t.name, c, validateOnly, got))
	differs := func(format string, args ...any) {
		t.Helper()
		t.fail("%s in %s (validate_only=%v)\nserver: %s %v\n%v\nmodel:  %s\n%s\nstate:\n%s", c, t.name, validateOnly,
			got, err, answer, verdict, fmt.Sprintf(format, args...), t.state.describe(t.now()))
	}
	switch {
	case err != nil && (isRefusal(got, verdict.refused) || isRefusal(got, verdict.perhaps)):
		if problem := t.refusalProblem(c, err, got, verdict); problem != "" {
			differs("%s", problem)
		}
		t.seen["refused: "+got]++
		t.unchanged()
	case err != nil || verdict.refused != nil:
		differs("the outcome is another one")
	case verdict.repeated != nil:
		if answer.GetOutcome() != verdict.repeated.outcome || answer.GetRevision() != verdict.repeated.revision {
			differs("a repeated call is not answered as the first one")
		}
		t.seen["repeated"]++
		t.unchanged()
	default:
		if problem := t.answerProblem(c, answer, verdict); problem != "" {
			differs("%s", problem)
		}
		t.came(c, answer, verdict, validateOnly)
	}
}

// came takes in what a call did that came through.
func (t *walkTenant) came(c *walkCall, answer walkAnswer, v walkVerdict, validateOnly bool) {
	newest := t.revisions[len(t.revisions)-1].revision
	switch {
	case validateOnly:
		t.seen["only validated"]++
		t.unchanged()
		return
	case answer.GetOutcome() == usherv1.Outcome_OUTCOME_UNCHANGED:
		t.seen["unchanged"]++
		if answer.GetRevision() != newest {
			t.fail("an unchanged write answers with the revision %s, the newest is %s", answer.GetRevision(), newest)
		}
		t.unchanged()
	default:
		t.seen["changed"]++
		t.seen["changed by "+string(answer.ProtoReflect().Descriptor().Name())]++
		for _, warning := range v.warns {
			t.seen["warned: "+warning.String()]++
		}
		t.changed(answer.GetRevision(), v.after, v.records, c.actor, c.justification)
	}
	if c.requestID != "" {
		t.requests[c.requestID] = walkRequest{c, answer.GetOutcome(), answer.GetRevision(), t.now()}
		t.calls = append(t.calls, c)
	}
}

// walkVerdict is what the model says of a call.
type walkVerdict struct {
	refused  []string // it is, in one of these ways
	perhaps  []string // or it may be
	at       int      // which act is refused; -1: it is open which
	repeated *walkRequest
	outcomes []usherv1.Outcome
	effects  []*walkEffect
	after    *walkState
	records  []string
	// warns are the warnings that have to be there, mayWarn those that may be.
	warns, mayWarn []usherv1.WarningCode
}

func (v walkVerdict) String() string {
	switch {
	case v.refused != nil:
		return "refused: " + strings.Join(v.refused, " or ")
	case v.repeated != nil:
		return fmt.Sprintf("repeated: %v at %s", v.repeated.outcome, v.repeated.revision)
	}
	return fmt.Sprintf("OK: %v, %q, warnings %v", v.outcomes, v.records, v.warns)
}

// predict judges a call.
func (t *walkTenant) predict(c *walkCall, validateOnly bool) walkVerdict {
	if r, ok := t.requests[c.requestID]; ok && !validateOnly && time.Duration(t.now()-r.at) < walkRequestsKept {
		if c.same(r.call) {
			return walkVerdict{repeated: &r}
		}
		v := walkVerdict{refused: []string{walkRequestReused}, at: -1}
		if slices.ContainsFunc(c.acts, func(act *usherv1.Act) bool {
			return walkPlan{walkProduct: t.walkProduct, now: t.now()}.malformed(act) || act.GetExpectedRevision() == "yesterday"
		}) {
			v.refused = append(v.refused, walkMalformed)
		}
		return v
	}
	plan := walkPlan{t.walkProduct, t.state, c.actor, t.now()}
	if c.primary != "" {
		return t.predictPrimary(plan, c.primary)
	}
	v := walkVerdict{at: -1}
	touched := map[string]bool{}
	for i, act := range c.acts {
		v.refused = slices.Concat(v.refused, t.notCurrent(act))
		malformed := plan.malformed(act)
		if malformed {
			v.refused = append(v.refused, walkMalformed)
		}
		if len(v.outcomes) < i {
			continue // which of the problems of a batch is named first is open
		}
		if malformed {
			continue
		}
		effect, refused := plan.judge(act)
		if refused != nil {
			v.refused = append(v.refused, refused...)
			v.at = i
			continue
		}
		if touched[objectOf(act)] && act.GetExpectedRevision() != "" {
			v.perhaps = []string{walkChanged}
		}
		v.outcomes = append(v.outcomes, usherv1.Outcome_OUTCOME_UNCHANGED)
		if effect.changed() {
			v.outcomes[i] = usherv1.Outcome_OUTCOME_CHANGED
			touched[objectOf(act)] = true
		}
		v.effects = append(v.effects, effect)
		v.records = append(v.records, differences(plan.before, effect.after)...)
		plan.before = effect.after
	}
	if v.refused == nil {
		t.finish(&v, plan)
	}
	return v
}

// finish says what comes with the acts of a write.
func (t *walkTenant) finish(v *walkVerdict, plan walkPlan) {
	v.after = plan.before
	if v.after.primary != "" && !slices.Contains(t.keepers(v.after, plan.now), v.after.primary) {
		v.after = v.after.clone()
		v.after.primary = ""
		v.records = append(v.records, "primary set nobody")
		v.warns = append(v.warns, usherv1.WarningCode_WARNING_CODE_NO_PRIMARY_ADMINISTRATOR)
	}
	if t.advised == 0 || v.after.holders(t.protected, plan.now) <= t.advised {
		return
	}
	if slices.ContainsFunc(v.effects, func(e *walkEffect) bool {
		return slices.ContainsFunc(e.set, func(key walkKey) bool { return key.role == t.protected })
	}) {
		v.warns = append(v.warns, usherv1.WarningCode_WARNING_CODE_MANY_HOLDERS)
	} else {
		v.mayWarn = append(v.mayWarn, usherv1.WarningCode_WARNING_CODE_MANY_HOLDERS)
	}
}

func (t *walkTenant) predictPrimary(plan walkPlan, subject string) walkVerdict {
	v := walkVerdict{at: -1}
	if v.after, v.refused = plan.setPrimary(subject); v.refused == nil {
		v.records = differences(plan.before, v.after)
		v.outcomes = []usherv1.Outcome{usherv1.Outcome_OUTCOME_UNCHANGED}
		if len(v.records) > 0 {
			v.outcomes[0] = usherv1.Outcome_OUTCOME_CHANGED
		}
	}
	return v
}

// notCurrent answers how an act is refused that rests on a revision, or nil.
func (t *walkTenant) notCurrent(act *usherv1.Act) []string {
	expected := act.GetExpectedRevision()
	last, changed := t.changedAt[objectOf(act)]
	switch {
	case expected == "":
		return nil
	case expected == "yesterday":
		return []string{walkMalformed}
	case expected == t.otherEpoch:
		return []string{walkOtherEpoch}
	case t.order[expected] < t.created || changed && t.order[expected] < last:
		return []string{walkChanged}
	}
	return nil
}

// answerProblem says what is wrong with the answer to a call that came through.
func (t *walkTenant) answerProblem(c *walkCall, answer walkAnswer, v walkVerdict) string {
	outcome := slices.Min(v.outcomes) // changed is smaller than unchanged
	if answer.GetOutcome() != outcome {
		return fmt.Sprintf("the outcome is %v, want %v", answer.GetOutcome(), outcome)
	}
	var warned []usherv1.WarningCode
	if a, ok := answer.(interface{ GetWarnings() []*usherv1.Warning }); ok {
		for _, warning := range a.GetWarnings() {
			if warning.GetText() == "" || warning.GetTexts()["en"] != warning.GetText() || warning.GetTexts()["de"] == "" || warning.GetTexts()["fr"] == "" {
				return fmt.Sprintf("the warning %v lacks words", warning)
			}
			if !slices.Contains(v.mayWarn, warning.GetCode()) {
				warned = append(warned, warning.GetCode())
			}
		}
	}
	slices.Sort(warned)
	slices.Sort(v.warns)
	if !slices.Equal(warned, v.warns) {
		return fmt.Sprintf("the warnings are %v", warned)
	}
	if len(v.effects) == 0 {
		return ""
	}
	now, effect := t.now(), v.effects[0]
	switch a := answer.(type) {
	case *usherv1.GrantResponse:
		g := c.acts[0].GetGrant()
		key := walkKey{g.GetSubject(), g.GetRole(), g.GetScope()}
		return listProblem([]*usherv1.Assignment{a.GetAssignment()}, v.after, []walkKey{key}, now)
	case *usherv1.RevokeResponse:
		left := v.after.live(c.acts[0].GetRevoke().GetSubject(), now)
		if int(a.GetRemainingCount()) != len(left) {
			return fmt.Sprintf("%d remain, want %d", a.GetRemainingCount(), len(left))
		}
		return listProblem(a.GetRemaining(), v.after, left, now)
	case *usherv1.ChangeRoleResponse:
		c := c.acts[0].GetChangeRole()
		keys := slices.DeleteFunc(v.after.live(c.GetSubject(), now), func(key walkKey) bool { return key.role != c.GetTo() })
		return listProblem(a.GetAssignments(), v.after, keys, now)
	case *usherv1.RemoveSubjectResponse:
		if int(a.GetRemovedCount()) != len(effect.gone) {
			return fmt.Sprintf("%d removed, want %d", a.GetRemovedCount(), len(effect.gone))
		}
	case *usherv1.BatchWriteResponse:
		if !slices.Equal(a.GetOutcomes(), v.outcomes) {
			return fmt.Sprintf("the outcomes are %v, want %v", a.GetOutcomes(), v.outcomes)
		}
	}
	return ""
}

// refusalProblem says what is wrong with the details of a refusal.
func (t *walkTenant) refusalProblem(c *walkCall, err error, got string, v walkVerdict) string {
	if c.batch && v.at >= 0 && len(v.refused) == 1 {
		if name := fmt.Sprintf("acts[%d]", v.at); !strings.Contains(fmt.Sprint(err, status.Convert(err).Details()), name) {
			return "the error does not name " + name
		}
	}
	remedy := (*usherv1.Remedy)(nil)
	for _, detail := range status.Convert(err).Details() {
		if r, ok := detail.(*usherv1.Remedy); ok {
			remedy = r
		}
	}
	rule := strings.HasPrefix(got, "FAILED_PRECONDITION") && got != walkOtherEpoch || got == walkNotAllowed
	if !rule {
		return ""
	}
	texts := remedy.GetTexts()
	if remedy.GetKind() == usherv1.RemedyKind_REMEDY_KIND_UNSPECIFIED || texts["en"] == "" {
		return "there is no remedy"
	}
	if t.yaml == "" && (texts["de"] == "" || texts["fr"] == "") {
		return "the remedy is not there in all languages"
	}
	if got != walkRefusedChange || len(c.acts) != 1 {
		return ""
	}
	kinds := map[usherv1.RemedyKind]bool{}
	for _, transition := range t.refused {
		kinds[transition.remedy] = true
	}
	if !kinds[remedy.GetKind()] {
		return fmt.Sprintf("the remedy is of the kind %v", remedy.GetKind())
	}
	return ""
}

// pick picks one of some, or the zero value of none.
func pick[T any](r *rand.Rand, from []T) T {
	var zero T
	if len(from) == 0 {
		return zero
	}
	return from[r.IntN(len(from))]
}

// keys returns what is held in the tenant, in order.
func (t *walkTenant) keys() []walkKey { return sortedKeys(t.state) }

func sortedKeys(s *walkState) []walkKey {
	return slices.SortedFunc(maps.Keys(s.held), walkKey.compare)
}

// listProblem compares listed assignments with those that should be listed.
func listProblem(got []*usherv1.Assignment, s *walkState, keys []walkKey, now int64) string {
	var want []*usherv1.Assignment
	for _, key := range keys {
		want = append(want, s.message(key, now))
	}
	if slices.EqualFunc(got, want, func(a, b *usherv1.Assignment) bool { return proto.Equal(a, b) }) {
		return ""
	}
	return fmt.Sprintf("listed is\n%v\nwant\n%v", got, want)
}

// message is an assignment as it is listed.
func (s *walkState) message(key walkKey, now int64) *usherv1.Assignment {
	i := s.held[key]
	starts, ends := i.timestamps()
	return &usherv1.Assignment{
		Subject: key.subject, Role: key.role, Scope: key.scope, StartsAt: starts, ExpiresAt: ends, State: i.state(now),
	}
}

func (s *walkState) describe(now int64) string {
	var lines []string
	for _, key := range sortedKeys(s) {
		lines = append(lines, fmt.Sprint(s.message(key, now)))
	}
	return strings.Join(append(lines, fmt.Sprintf("toggles set: %v, primary: %s", s.toggles, s.primary)), "\n")
}
