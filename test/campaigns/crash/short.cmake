# Runs 200 rounds in a fresh directory.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
execute_process(COMMAND ${PROGRAM} --dir ${SCRATCH} --dbctl ${DBCTL} --rounds 200 COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE_RECURSE ${SCRATCH})
