// Package listfilter turns an answer of Usher's ListScopes into the WHERE clause of a query, for
// SQLite. It is an example, to be copied and changed: docs/lists.md explains it.
package listfilter

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// Table says where the facts about the resources are, in SQL.
type Table struct {
	// ID is the column of the id, as text, such as tickets.id.
	ID string
	// Owner is the column of the owner, type:id. NULL: nobody owns the resource.
	Owner string
	// Scopes is another table, with a row for each scope that a resource lies in: ScopesID is its
	// column with the id of the resource, and Scope the one with the scope, type:id.
	Scopes, ScopesID, Scope string
	// Attributes are the columns of the attributes of the catalog. Each has to hold what the
	// checks are asked with, in the type that the catalog declares, or NULL if that is missing: a
	// bool as 0 or 1, a list as a JSON array of texts.
	Attributes map[string]string
}

// Where returns the condition that is true for the resources which the filter allows, with the
// values of its parameters. The filter has to be whole, as Fetch returns it. Subject is who it
// was asked for. What can't be said in SQL is an error, never a wider condition.
func (t Table) Where(filter *usherv1.ListScopesResponse, subject string) (string, []any, error) {
	if filter.GetNextPageToken() != "" {
		return "", nil, fmt.Errorf("the filter has more pages: no page may be used without the others")
	}
	w := &where{table: t, subject: subject}
	allow, err := w.any(filter.GetAllow())
	if err != nil {
		return "", nil, err
	}
	if len(filter.GetForbid()) == 0 {
		return allow, w.args, nil
	}
	forbid, err := w.any(filter.GetForbid())
	if err != nil {
		return "", nil, err
	}
	// What is undecided is NULL. A row is not selected if what allows it is NULL, and this sees to
	// it that it is not selected either if what forbids it is.
	return fmt.Sprintf("(%s)\nAND NOT COALESCE(%s, TRUE)", allow, forbid), w.args, nil
}

// where is a clause that is being made. The parameters are in the order of the question marks.
type where struct {
	table   Table
	subject string
	args    []any
}

// arg adds a parameter.
func (w *where) arg(value any) string {
	w.args = append(w.args, value)
	return "?"
}

// any is true if some alternative matches.
func (w *where) any(alternatives []*usherv1.Alternative) (string, error) {
	if len(alternatives) == 0 {
		return "FALSE", nil
	}
	var all []string
	for _, a := range alternatives {
		sql, err := w.alternative(a)
		if err != nil {
			return "", err
		}
		all = append(all, sql)
	}
	return strings.Join(all, "\n  OR "), nil
}

// alternative is true if the reach, the limit and the condition are. The first two are never NULL.
func (w *where) alternative(a *usherv1.Alternative) (string, error) {
	var all []string
	reach, err := w.reach(a)
	if err != nil {
		return "", err
	}
	if reach != "TRUE" {
		all = append(all, reach)
	}
	if len(a.GetLimitedTo()) > 0 {
		limit, err := w.inSomeOf(a.GetLimitedTo())
		if err != nil {
			return "", err
		}
		all = append(all, limit)
	}
	if a.GetCondition() != nil {
		condition, err := w.expression(a.GetCondition().GetExpression())
		if err != nil {
			return "", fmt.Errorf("the condition %s: %w", a.GetCondition().GetText(), err)
		}
		all = append(all, condition)
	}
	if len(all) == 0 {
		return "TRUE", nil
	}
	return strings.Join(all, " AND "), nil
}

func (w *where) reach(a *usherv1.Alternative) (string, error) {
	switch reach := a.GetReach().(type) {
	case *usherv1.Alternative_Tenant:
		return "TRUE", nil
	case *usherv1.Alternative_Scopes:
		return w.inSomeOf(reach.Scopes.GetScopes())
	case *usherv1.Alternative_AnyScopeOfType:
		// All texts that begin with "team:". LIKE would take the _ of a type for any character.
		from, to := reach.AnyScopeOfType+":", reach.AnyScopeOfType+";" // the next character
		return w.inScope(fmt.Sprintf("%s >= %s AND %s < %s", w.table.Scope, w.arg(from), w.table.Scope, w.arg(to))), nil
	case *usherv1.Alternative_Own:
		return fmt.Sprintf("(%s IS NOT NULL AND %s = %s)", w.table.Owner, w.table.Owner, w.arg(w.subject)), nil
	}
	return "", fmt.Errorf("an alternative of a kind that is not known here: %v", a)
}

// inSomeOf is true if the resource lies in one of the scopes. They are one parameter, a JSON
// array, however many there are.
func (w *where) inSomeOf(scopes []string) (string, error) {
	list, err := json.Marshal(scopes)
	if err != nil {
		return "", err
	}
	return w.inScope(fmt.Sprintf("%s IN (SELECT value FROM json_each(%s))", w.table.Scope, w.arg(string(list)))), nil
}

func (w *where) inScope(test string) string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s WHERE %s = %s AND %s)", w.table.Scopes, w.table.ScopesID, w.table.ID, test)
}

// expression is true, false or NULL, as the condition is true, false or undecided.
func (w *where) expression(e *usherv1.Expression) (string, error) {
	switch node := e.GetNode().(type) {
	case *usherv1.Expression_And:
		return w.joined(node.And.GetExpressions(), " AND ")
	case *usherv1.Expression_Or:
		return w.joined(node.Or.GetExpressions(), " OR ")
	case *usherv1.Expression_Not:
		of, err := w.expression(node.Not)
		return "NOT (" + of + ")", err
	case *usherv1.Expression_Constant:
		if node.Constant {
			return "TRUE", nil
		}
		return "FALSE", nil
	case *usherv1.Expression_Has:
		column, err := w.column(node.Has)
		return column + " IS NOT NULL", err
	case *usherv1.Expression_Compare:
		return w.comparison(node.Compare)
	case *usherv1.Expression_In:
		return w.membership(node.In)
	case *usherv1.Expression_Contains:
		column, err := w.column(node.Contains.GetAttribute())
		return fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN EXISTS (SELECT 1 FROM json_each(%s) WHERE json_each.value = %s) END",
			column, column, w.arg(node.Contains.GetText())), err
	}
	return "", fmt.Errorf("an expression of a kind that is not known here: %v", e)
}

func (w *where) joined(operands []*usherv1.Expression, with string) (string, error) {
	var all []string
	for _, operand := range operands {
		sql, err := w.expression(operand)
		if err != nil {
			return "", err
		}
		all = append(all, sql)
	}
	return "(" + strings.Join(all, with) + ")", nil
}

var signs = map[usherv1.ComparisonOperator]string{
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_EQUAL:            "=",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_NOT_EQUAL:        "<>",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS:             "<",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS_OR_EQUAL:    "<=",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER:          ">",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER_OR_EQUAL: ">=",
}

func (w *where) comparison(c *usherv1.Comparison) (string, error) {
	column, err := w.column(c.GetAttribute())
	if err != nil {
		return "", err
	}
	sign, known := signs[c.GetOperator()]
	if !known {
		return "", fmt.Errorf("a comparison that is not known here: %v", c)
	}
	value, err := w.constant(c.GetConstant())
	return column + " " + sign + " " + value, err
}

func (w *where) membership(m *usherv1.Membership) (string, error) {
	column, err := w.column(m.GetAttribute())
	if err != nil {
		return "", err
	}
	if len(m.GetConstants()) == 0 {
		return column + " <> " + column, nil // false, or NULL: IN () would always be false
	}
	var values []string
	for _, c := range m.GetConstants() {
		value, err := w.constant(c)
		if err != nil {
			return "", err
		}
		values = append(values, value)
	}
	return column + " IN (" + strings.Join(values, ", ") + ")", nil
}

func (w *where) constant(v *structpb.Value) (string, error) {
	switch v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return w.arg(v.GetStringValue()), nil
	case *structpb.Value_NumberValue:
		return w.arg(v.GetNumberValue()), nil
	case *structpb.Value_BoolValue:
		if v.GetBoolValue() {
			return w.arg(1), nil
		}
		return w.arg(0), nil
	}
	return "", fmt.Errorf("a constant of a kind that is not known here: %v", v)
}

// column finds the column of an attribute. Every resource has the attribute id.
func (w *where) column(attribute string) (string, error) {
	if attribute == "id" {
		return w.table.ID, nil
	}
	column := w.table.Attributes[attribute]
	if column == "" {
		return "", fmt.Errorf("there is no column for the attribute %q: add one to the table, or filter by checks", attribute)
	}
	return column, nil
}
