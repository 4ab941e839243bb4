package bolt

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// chainStart is what the first record of a chain follows.
var chainStart = make([]byte, sha256.Size)

// followsSize is how much of the hash before is in each record.
const followsSize = 8

// chainHash is the hash of a change record that follows the one with the hash before.
func chainHash(before, chained []byte) []byte {
	h := sha256.New()
	h.Write(before)
	h.Write(chained)
	return h.Sum(nil)
}

// commitment is what stands in the chain for a personal field.
func commitment(salt, value []byte) []byte { return chainHash(salt, value) }

// personalFields returns the personal fields of a change of the given subject, and
// the commitments to them.
func personalFields(w *store.Write, subject string) (personal []*storev1.Personal, commitments []*storev1.Commitment, err error) {
	add := func(field storev1.PersonalField, value []byte) {
		salt := make([]byte, 16)
		rand.Read(salt) // never fails
		personal = append(personal, &storev1.Personal{Field: field, Salt: salt, Value: value})
		commitments = append(commitments, &storev1.Commitment{Field: field, Hash: commitment(salt, value)})
	}
	if subject != "" {
		add(storev1.PersonalField_PERSONAL_FIELD_SUBJECT, []byte(subject))
	}
	if w.By.Subject != "" || len(w.By.Groups) > 0 {
		actor, err := encode(&storev1.PersonalActor{Subject: w.By.Subject, Groups: w.By.Groups})
		if err != nil {
			return nil, nil, err
		}
		add(storev1.PersonalField_PERSONAL_FIELD_ACTOR, actor)
	}
	if w.Justification != "" {
		add(storev1.PersonalField_PERSONAL_FIELD_JUSTIFICATION, []byte(w.Justification))
	}
	return personal, commitments, nil
}

// personalValues returns the personal fields of a record, after comparing them with
// the commitments. A field that was erased has no value.
func personalValues(record *storev1.ChangeRecord, change *storev1.Change) (map[storev1.PersonalField][]byte, error) {
	values := make(map[storev1.PersonalField][]byte, len(record.GetPersonal()))
	for _, p := range record.GetPersonal() {
		committed := false
		for _, c := range change.GetCommitments() {
			if c.GetField() == p.GetField() && bytes.Equal(c.GetHash(), commitment(p.GetSalt(), p.GetValue())) {
				committed = true
			}
		}
		if _, twice := values[p.GetField()]; !committed || twice {
			return nil, damaged("a personal field of a change record is not the one that was written")
		}
		values[p.GetField()] = p.GetValue()
	}
	return values, nil
}
