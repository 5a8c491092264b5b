# Runs a short load in a fresh directory.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
execute_process(COMMAND ${PROGRAM} --dir ${SCRATCH}/db --num 300000 --budget 64 --write-buffer 1 COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE_RECURSE ${SCRATCH})
