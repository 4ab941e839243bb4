package server

// DecisionLog writes decisions down, off the path of the checks: what its queue can't take is dropped,
// and counted.
type DecisionLog struct{}
