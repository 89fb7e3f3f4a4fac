/**
 * A small language for what a build file may hold. One table in it (build-fields.ts) is read by the validation (read-fields.ts) and by the
 * JSON Schema for editors (json-schema.ts), so that the two cannot differ.
 */
interface Described {
  /** A sentence for an editor and the documentation. */
  readonly description: string
  /** What holds where the key is absent, in words; a required key has none. */
  readonly fallback?: string
  readonly required?: true
}

/** Text; a number is taken as it is written, so that a name such as 4 need not stand in quotes. */
export interface TextField extends Described {
  readonly kind: 'text'
  readonly examples?: readonly string[]
  /** What is wrong with a text; undefined where nothing is. */
  readonly check?: (text: string) => string | undefined
  /** The same for an editor, as far as a regular expression can say it. */
  readonly pattern?: string
}

/** One of some words. */
export interface ChoiceField extends Described {
  readonly kind: 'choice'
  readonly choices: readonly string[]
}

export interface NumberField extends Described {
  readonly kind: 'number'
  readonly whole?: true
  readonly least?: number
  readonly most?: number
  /** The number itself is not allowed. */
  readonly above?: number
  /** What is wrong with a number within these bounds; undefined where nothing is. */
  readonly check?: (value: number) => string | undefined
}

export interface FlagField extends Described {
  readonly kind: 'flag'
}

/** A list; where `single` is set, one item may stand without its list. */
export interface ListField extends Described {
  readonly kind: 'list'
  readonly items: Field
  readonly single?: true
}

/** An object of known keys. */
export interface ObjectField extends Described {
  readonly kind: 'object'
  readonly fields: Fields
  /** Of each of these groups exactly one key has to be given. */
  readonly exactlyOne?: readonly (readonly string[])[]
  /** Key that is of use only beside one of others. */
  readonly needs?: Readonly<Record<string, readonly string[]>>
  /** The key that a text in place of the object stands for. */
  readonly short?: string
}

/** An object whose keys are names that the user gives. */
export interface MapField extends Described {
  readonly kind: 'map'
  readonly values: Field
  readonly names: { readonly pattern: string; readonly problem: string }
}

export type Field = TextField | ChoiceField | NumberField | FlagField | ListField | ObjectField | MapField
export type Fields = Readonly<Record<string, Field>>

/** What reading a field gives. */
export type ValueOf<F> = F extends { readonly kind: 'text' }
  ? string
  : F extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
    ? Choice
    : F extends { readonly kind: 'number' }
      ? number
      : F extends { readonly kind: 'flag' }
        ? boolean
        : F extends { readonly kind: 'list'; readonly items: infer Items }
          ? readonly ValueOf<Items>[]
          : F extends { readonly kind: 'map'; readonly values: infer Values }
            ? Readonly<Record<string, ValueOf<Values>>>
            : F extends { readonly kind: 'object'; readonly fields: infer All }
              ? ObjectOf<All>
              : never

type RequiredKeys<All> = { [Key in keyof All]: All[Key] extends { readonly required: true } ? Key : never }[keyof All]
type ObjectOf<All> = { readonly [Key in RequiredKeys<All>]: ValueOf<All[Key]> } & {
  readonly [Key in Exclude<keyof All, RequiredKeys<All>>]?: ValueOf<All[Key]>
}
