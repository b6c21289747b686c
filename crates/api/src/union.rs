//! Unions: objects with exactly one of several keys, as people write them in YAML. To a program each is a closed type.
//!
//! A union keeps its optional fields private. The macro makes, from one list, the enum that callers match on, the accessor that returns it,
//! and the keys that the schema's rules are made of. Code that depends on which one it is matches without a wildcard, so that one more variant
//! compiles only once every such place has answered for it.
//!
//! The API server lets no object pass that has none of the keys or two. One may come about all the same: a newer version of the schema knows
//! a key that this program does not. Every accessor answers `None` for such an object, and every caller has an answer for that.

/// `pub enum System<'a> = ConnectionSpec::system { "postgres" postgres => Postgres(&'a Postgres), … }`: the key in YAML, the field, the
/// variant. With `kinds SystemKind` before the list the variants without what they hold are a type of their own.
macro_rules! union {
    (
        $(#[$about:meta])*
        pub enum $Union:ident $(<$life:lifetime>)? = $Object:ident :: $accessor:ident {
            $($(#[$doc:meta])* $key:literal $field:ident => $Variant:ident $(($Held:ty))?),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $Union $(<$life>)? {
            $($(#[$doc])* $Variant $(($Held))?),+
        }

        impl $(<$life>)? $Union $(<$life>)? {
            /// The keys, of which an object has exactly one.
            pub const KEYS: &'static [&'static str] = &[$($key),+];
        }

        impl $Object {
            /// `None`: it has none of the keys that this version knows, or two of them.
            pub fn $accessor $(<$life>)? (& $($life)? self) -> Option<$Union $(<$life>)?> {
                let mut set = [$(
                    self.$field.as_ref().map(|_held| $Union::$Variant $(({ let held: $Held = _held; held }))?)
                ),+].into_iter().flatten();
                set.next().filter(|_| set.next().is_none())
            }
        }
    };
    (
        $(#[$about:meta])*
        pub enum $Union:ident<$life:lifetime> = $Object:ident :: $accessor:ident kinds $Kind:ident {
            $($(#[$doc:meta])* $key:literal $field:ident => $Variant:ident ($Held:ty)),+ $(,)?
        }
    ) => {
        union! {
            $(#[$about])*
            pub enum $Union<$life> = $Object::$accessor { $($(#[$doc])* $key $field => $Variant($Held)),+ }
        }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum $Kind {
            $($(#[$doc])* $Variant),+
        }

        impl $Kind {
            /// In the order in which people meet them.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// The key under which it stands in the spec.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$Variant => $key),+ }
            }
        }

        impl $Union<'_> {
            /// Which one it is, without what it holds.
            pub const fn kind(self) -> $Kind {
                match self { $(Self::$Variant(_) => $Kind::$Variant),+ }
            }
        }
    };
}

pub(crate) use union;
