package bolt

import (
	"bytes"
	"fmt"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// forgottenAtOnce is how many old request ids a write with a new one removes, so that there
// are never more than were used in the time for which they are kept.
const forgottenAtOnce = 2

// repeated returns what was answered to an earlier write with the same request id, if there
// was one.
func (s *stage) repeated() (store.Committed, error) {
	if s.w.RequestID == "" {
		return store.Committed{}, nil
	}
	if err := checkName("request id", s.w.By.Caller+s.w.RequestID); err != nil || s.nobody() {
		return store.Committed{}, err
	}
	earlier, err := s.request(s.requestKey())
	if err != nil || earlier == nil || s.forgotten(earlier.GetTime()) {
		return store.Committed{}, err
	}
	if !bytes.Equal(earlier.GetDigest(), s.w.Digest[:]) {
		return store.Committed{}, fmt.Errorf("%w: %q", store.ErrRequestReused, s.w.RequestID)
	}
	return store.Committed{
		Revision: store.Revision{Epoch: s.revision.Epoch, Number: earlier.GetRevision()},
		Changed:  earlier.GetChanged(),
		Repeated: true,
	}, nil
}

// remember keeps what is answered to a write with a request id, and removes some that are no
// longer needed.
func (s *stage) remember(c store.Committed) error {
	if s.w.RequestID == "" || s.nobody() {
		return nil
	}
	key := s.requestKey()
	earlier, err := s.request(key)
	if err != nil {
		return err
	}
	if earlier != nil { // it is old
		s.remove(bucketRequestsByTime, timeKey(earlier.GetTime(), key))
	}
	if err := s.forget(); err != nil {
		return err
	}
	value, err := encode(&storev1.Request{Time: s.clock, Digest: s.w.Digest[:], Changed: c.Changed, Revision: c.Revision.Number})
	if err != nil {
		return err
	}
	s.put(bucketRequests, key, value)
	s.put(bucketRequestsByTime, timeKey(s.clock, key), []byte{})
	return nil
}

// forget removes a few request ids that are no longer kept.
func (s *stage) forget() error {
	n := 0
	return s.r.scan(bucketRequestsByTime, nil, firstKey, func(entry, _ []byte) bool {
		time, key, ok := splitTimeKey(entry)
		if !ok || !s.forgotten(time) || n == forgottenAtOnce {
			return false
		}
		s.remove(bucketRequestsByTime, entry)
		s.remove(bucketRequests, key)
		n++
		return true
	})
}

// forgotten reports whether what was remembered at an instant is no longer kept.
func (s *stage) forgotten(instant int64) bool { return instant <= s.clock-int64(store.RequestIDsKept) }

// nobody reports whether the write is for a tenant that isn't there, which has no request ids.
func (s *stage) nobody() bool { return s.w.Tenant != "" && s.tenant.ID == 0 }

// requestKey is where the write is remembered. The installation has the id 0.
func (s *stage) requestKey() []byte { return textKey(s.tenant.ID, s.w.By.Caller, s.w.RequestID) }

// request returns what is remembered under a key, or nil.
func (s *stage) request(key []byte) (*storev1.Request, error) {
	value, found, err := s.get(bucketRequests, key)
	if err != nil || !found {
		return nil, err
	}
	return decodeRequest(value)
}
