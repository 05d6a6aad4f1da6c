# fish completion for @PROGRAM@                              -*- shell-script -*-
#
# Load it now:      @PROGRAM@ completion fish | source
# Load it always:   @PROGRAM@ completion fish > ~/.config/fish/completions/@PROGRAM@.fish

function __@IDENTIFIER@_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    command -q -- $program; or set program @PROGRAM@
    set -l lines ($program @ROLE@ $words[2..-1] "$current" 2>/dev/null)
    set -q lines[1]; or return
    set -l directive (string replace ':' '' -- $lines[-1])
    set -e lines[-1]
    set -l flag (string match -r -- '^-[^=]*=' "$current")
    for line in $lines
        printf '%s%s\n' "$flag" "$line"
    end
    set -q lines[1]; and return
    if test (math "bitand($directive, 16)") -ne 0
        __fish_complete_directories "$current"
    else if test (math "bitand($directive, 4)") -eq 0
        __fish_complete_path "$current"
    end
end

complete -c @PROGRAM@ -e
complete -c @PROGRAM@ -f -a '(__@IDENTIFIER@_complete)'
