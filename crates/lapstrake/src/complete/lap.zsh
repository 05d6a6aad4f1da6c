#compdef @PROGRAM@
# zsh completion for @PROGRAM@                               -*- shell-script -*-
#
# Load it now:      source <(@PROGRAM@ completion zsh)
# Load it always:   @PROGRAM@ completion zsh > "${fpath[1]}/_@PROGRAM@"

_@IDENTIFIER@() {
    local -a arguments lines candidates options
    local program=${(Q)words[1]} directive line
    program=${program/#\~/$HOME}
    whence -p -- $program >/dev/null || program=@PROGRAM@
    arguments=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    lines=("${(@f)$("$program" @ROLE@ "${(@)arguments}" 2>/dev/null)}")
    directive=${lines[-1]#:}
    [[ $directive == <-> ]] || return 1
    lines=("${(@)lines[1,-2]}")
    if [[ $PREFIX == -*=* ]]; then
        compset -P 1 '*='
    fi
    for line in "${(@)lines}"; do
        if [[ $line == *$'\t'* ]]; then
            candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            candidates+=("${line//:/\\:}")
        fi
    done
    if (( directive & 2 )); then
        options=(-S '')
    fi
    if (( ${#candidates} )); then
        _describe -t candidates candidate candidates "${(@)options}" && return 0
    fi
    if (( directive & 16 )); then
        _files -/
    elif (( ! (directive & 4) )); then
        _files
    fi
}

if [[ $funcstack[1] == _@IDENTIFIER@ ]]; then
    _@IDENTIFIER@ "$@"
else
    compdef _@IDENTIFIER@ @PROGRAM@
fi
