# bash completion for @PROGRAM@                              -*- shell-script -*-
#
# Load it now:      source <(@PROGRAM@ completion bash)
# Load it always:   @PROGRAM@ completion bash > ~/.local/share/bash-completion/completions/@PROGRAM@

# Puts the words up to the cursor into `words`. Bash parts words at `=` and `:` as well; here they are
# whole again: what has no blank before it belongs to the word before.
__@IDENTIFIER@_words() {
    local index word blank rest=${COMP_LINE:0:COMP_POINT}
    words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        blank=${rest%%[![:space:]]*}
        rest=${rest#"$blank"}
        if ((index == COMP_CWORD)); then
            word=$rest
        fi
        rest=${rest#"$word"}
        if ((index > 0)) && [[ -z $blank && -n $word ]]; then
            words[${#words[@]} - 1]+=$word
        elif ((index == 0)) || [[ -n $blank ]]; then
            words+=("$word")
        fi
    done
}

__@IDENTIFIER@_complete() {
    local -a words lines
    local program current candidate flag= cut= directive=0 index
    COMPREPLY=()
    __@IDENTIFIER@_words
    for index in "${!words[@]}"; do
        words[index]=${words[index]#[\"\']}
        words[index]=${words[index]%[\"\']}
    done
    program=${words[0]/#\~/$HOME}
    type -P -- "$program" >/dev/null || program=@PROGRAM@
    current=${words[${#words[@]} - 1]}
    mapfile -t lines < <("$program" @ROLE@ "${words[@]:1}" 2>/dev/null)
    ((${#lines[@]} > 0)) || return
    index=$((${#lines[@]} - 1))
    directive=${lines[index]#:}
    unset "lines[index]"

    # What bash replaces begins behind the last character that it parts words at.
    if [[ $current == -*=* ]]; then
        flag=${current%%=*}=
    fi
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        cut=${current%:*}:
    fi
    if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
        candidate=${current%=*}=
        if ((${#candidate} > ${#cut})); then
            cut=$candidate
        fi
    fi
    for candidate in "${lines[@]}"; do
        candidate=$flag${candidate%%$'\t'*}
        COMPREPLY+=("${candidate#"$cut"}")
    done

    if ((directive & 2)); then
        compopt -o nospace 2>/dev/null
    fi
    if ((directive & 16)); then
        compopt -o dirnames 2>/dev/null
    elif ((!(directive & 4))); then
        compopt -o default 2>/dev/null
    fi
}

complete -F __@IDENTIFIER@_complete @PROGRAM@
