/** GBNF of one JSON object, for `response_format: json_object`. Source: RFC 8259; whitespace is limited, since a model may generate it without end. */
export const jsonGrammar = String.raw`root ::= object
object ::= "{" blank ( pair ( "," blank pair )* )? "}"
pair ::= string ":" blank value
array ::= "[" blank ( value ( "," blank value )* )? "]"
value ::= ( object | array | string | number | "true" | "false" | "null" ) blank
string ::= "\"" char* "\"" blank
char ::= [^"\\\x7F\x00-\x1F] | "\\" ( ["\\/bfnrt] | "u" hex hex hex hex )
hex ::= [0-9a-fA-F]
number ::= "-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?
blank ::= | " " | "\n" [ \t]{0,20}
`
