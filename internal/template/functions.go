// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// Functions are the functions of sprig that give the same result wherever and whenever
// they run, and whose cost is known: none that read the environment, the time, the
// network or chance, and none that make keys and passwords, which belong into a
// Secret and take seconds.
func Functions() template.FuncMap {
	of := sprig.TxtFuncMap()
	functions := template.FuncMap{}
	for _, names := range allowed {
		for _, name := range names {
			functions[name] = of[name]
		}
	}
	return functions
}

// allowed are the functions of sprig by what they are about. One that needs more
// than a small multiple of its arguments has a line in [costs].
var allowed = map[string][]string{
	"dates": {"duration", "durationRound", "must_date_modify", "mustDateModify", "mustToDate", "toDate", "unixEpoch"},
	"strings": {
		"abbrev", "abbrevboth", "trunc", "trim", "upper", "lower", "title", "untitle", "substr", "repeat", "trimall",
		"trimAll", "trimSuffix", "trimPrefix", "nospace", "initials", "swapcase", "snakecase", "camelcase", "kebabcase",
		"wrap", "wrapWith", "contains", "hasPrefix", "hasSuffix", "quote", "squote", "cat", "indent", "nindent",
		"replace", "plural", "toString", "split", "splitList", "splitn", "toStrings", "join", "sortAlpha",
	},
	"checksums": {"sha1sum", "sha256sum", "sha512sum", "adler32sum"},
	"encodings": {
		"b64enc", "b64dec", "b32enc", "b32dec", "fromJson", "toJson", "toPrettyJson", "toRawJson", "mustFromJson",
		"mustToJson", "mustToPrettyJson", "mustToRawJson", "urlParse", "urlJoin",
	},
	"numbers": {
		"atoi", "int64", "int", "float64", "toDecimal", "add1", "add", "sub", "div", "mod", "mul", "add1f", "addf",
		"subf", "divf", "mulf", "biggest", "max", "min", "maxf", "minf", "ceil", "floor", "round", "seq", "until", "untilStep",
	},
	"defaults": {"default", "empty", "coalesce", "all", "any", "compact", "mustCompact", "ternary", "deepCopy", "mustDeepCopy"},
	"types":    {"typeOf", "typeIs", "typeIsLike", "kindOf", "kindIs", "deepEqual"},
	"paths":    {"base", "dir", "clean", "ext", "isAbs", "osBase", "osClean", "osDir", "osExt", "osIsAbs"},
	"lists": {
		"tuple", "list", "append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend", "first", "mustFirst", "rest",
		"mustRest", "last", "mustLast", "initial", "mustInitial", "reverse", "mustReverse", "uniq", "mustUniq", "without",
		"mustWithout", "has", "mustHas", "slice", "mustSlice", "concat", "chunk", "mustChunk",
	},
	"dictionaries": {
		"dict", "get", "set", "unset", "hasKey", "pluck", "keys", "pick", "omit", "merge", "mergeOverwrite", "mustMerge",
		"mustMergeOverwrite", "values", "dig",
	},
	"versions": {"semver", "semverCompare"},
	"flow":     {"fail", "hello"},
	"regular expressions": {
		"regexMatch", "mustRegexMatch", "regexFindAll", "mustRegexFindAll", "regexFind", "mustRegexFind", "regexReplaceAll",
		"mustRegexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral", "regexSplit", "mustRegexSplit",
		"regexQuoteMeta",
	},
}

// printers are the functions of every Go template that make text of their
// arguments. They have to be replaced to be metered.
func printers() template.FuncMap {
	return template.FuncMap{
		"print": fmt.Sprint, "printf": fmt.Sprintf, "println": fmt.Sprintln,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
	}
}
