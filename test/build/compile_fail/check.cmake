execute_process(COMMAND ${COMPILER} -std=c++20 -fsyntax-only -I${INCLUDE} ${PROGRAM}
                RESULT_VARIABLE status ERROR_VARIABLE messages)
if(status EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} compiles, but must not")
endif()
string(FIND "${messages}" "${WORDS}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${PROGRAM} does not compile, but its error does not contain \"${WORDS}\":\n${messages}")
endif()
